"""The reader's work on one ten-column insert, step by step: microseconds, no server involved."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from machine import describe
from workload import TABLE

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.delivery.dispatcher import Dispatcher
from cdc_daemon.delivery.fold import Fold
from cdc_daemon.delivery.lanes import Lanes
from cdc_daemon.events import Change, Column, ColumnType, DocumentOperation, Position, Relation
from cdc_daemon.projection.compiler import compile_projections
from connectors.opensearch.bulk import encode
from connectors.postgres.pgoutput import Decoder
from connectors.postgres.rowplan import tuple_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.delivery.fold import Content

T = TypeVar("T")

MESSAGES: Final = 20_000
READ: Final = 2000
"""As many messages as the daemon takes at a time."""
REPEATS: Final = 9
OID: Final = 16384

COLUMNS: Final = (
    ("id", "int8", 20),
    ("name", "text", 25),
    ("city", "varchar", 1043),
    ("note", "text", 25),
    ("price", "numeric", 1700),
    ("quantity", "int4", 23),
    ("active", "bool", 16),
    ("created", "timestamptz", 1184),
    ("due", "date", 1082),
    ("attributes", "jsonb", 3802),
)


class Step(NamedTuple):
    """What one step takes."""

    name: str
    median_us: float
    best_us: float

    def line(self) -> tuple[str, str, str]:
        """Name, figure and aim."""
        return (
            f"micro: {self.name}",
            f"{self.median_us:.2f} us a change (best {self.best_us:.2f})",
            "",
        )


def relation() -> Relation:
    """The benchmark's table, as the catalog describes it."""
    columns = tuple(
        Column(name, ColumnType(kind, oid=oid), nullable=False, in_identity=name == "id")
        for name, kind, oid in COLUMNS
    )
    known = frozenset(column.name for column in columns)
    return Relation("public", "item", columns, primary_key=("id",), known=known)


def relation_message() -> bytes:
    """What pgoutput sends before the first change."""
    columns = b"".join(
        struct.pack(">B", name == "id") + name.encode() + b"\0" + struct.pack(">Ii", oid, -1)
        for name, _, oid in COLUMNS
    )
    head = struct.pack(">BI", ord("R"), OID) + b"public\0item\0d"
    return head + struct.pack(">H", len(COLUMNS)) + columns


def insert_message(number: int) -> bytes:
    """What pgoutput sends for one inserted row."""
    values = (
        f"{number}",
        f"Item number {number} of the store",
        f"City {number % 500}",
        f"It was packed by hand, {number:032x}, and checked twice",
        f"{number % 1000}.{number % 100:02d}",
        f"{number % 1000}",
        "t",
        f"2026-01-01 00:{number // 60 % 60:02d}:{number % 60:02d}+00",
        "2026-03-01",
        f'{{"tags": ["a", "b"], "colour": "blue", "weight": {number % 50}}}',
    )
    head = struct.pack(">BIBH", ord("I"), OID, ord("N"), len(values))
    return head + b"".join(struct.pack(">BI", ord("t"), len(v)) + v.encode() for v in values)


def run() -> list[Step]:
    """Measure each step on the results of the one before."""
    table = relation()
    config = ProjectionConfig.model_validate({"from": TABLE, "fields": "*"})
    compiled = compile_projections({"items": config}, {TABLE: table}, lambda *_: "")
    projection = compiled.projections[0]
    decoder = Decoder(lambda message: tuple_plan(message, projection.relation))
    decoder.decode(relation_message())
    messages = [insert_message(number) for number in range(MESSAGES)]
    reads = [messages[at : at + READ] for at in range(0, MESSAGES, READ)]

    def decode(read: list[bytes]) -> list[Change]:
        return [event for data in read if isinstance(event := decoder.decode(data), Change)]

    def project(changes: list[Change]) -> list[Content]:
        fold = Fold(Path())
        for change in changes:
            projection.apply(change, fold)
        return list(fold.drain())

    changes = [decode(read) for read in reads]
    contents = [project(some) for some in changes]
    lanes, loading = Lanes(2, 5_000_000), Lanes(2, 5_000_000)
    dispatcher = Dispatcher(lanes, loading, 10**12, lambda: None, lambda *_: None)

    def dispatch(some: list[Content]) -> None:
        dispatcher.send("items-000001", Position(2), some, after=Position(1))

    operations = [
        [DocumentOperation("items-000001", key, 123_456_789, body) for key, body in some]
        for some in contents
    ]
    return [
        _measured("decode and convert", decode, reads),
        _measured("project and fold", project, changes),
        _measured("dispatch to lanes", dispatch, contents),
        _measured("encode NDJSON (senders)", encode, operations),
    ]


def _measured(name: str, work: Callable[[list[T]], object], parts: list[list[T]]) -> Step:
    """Processor time of this thread: what other processes take isn't in it."""
    took = []
    for _ in range(REPEATS):
        began = time.thread_time()
        for part in parts:
            work(part)
        took.append((time.thread_time() - began) / MESSAGES * 1e6)
    return Step(name, median(took), min(took))


def main() -> None:
    """Print the steps."""
    print(describe())
    print(f"one insert: {len(insert_message(1))} bytes, {len(COLUMNS)} columns")
    for step in run():
        name, figure, _ = step.line()
        print(f"{name:45} {figure}")


if __name__ == "__main__":
    main()
