"""Joined documents step by step: microseconds a change of a child, with its document; no server."""

from __future__ import annotations

import cProfile
import pstats
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine import describe

from cdc_daemon.assembly import JoinedProjections, Written, wanted
from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.events import Change, ChangeKind, Column, ColumnType, Position, Relation
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.state import Here, Home, Staged, boot_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.projection.compiler import Compiled
    from cdc_daemon.state import Store

ORDERS: Final = 20_000
ITEMS: Final = 3 * ORDERS
UPDATES: Final = 20_000
BATCH: Final = 50
"""Transactions of one change each that are applied in one of the state."""
MEMORY: Final = 64_000_000

INT: Final = ColumnType("int8")
TEXT: Final = ColumnType("text")
PRICE: Final = ColumnType("numeric", modifier=(10 << 16) + 2 + 4)
ORDER: Final = Relation(
    "public",
    "order",
    (
        Column("id", INT, in_identity=True),
        Column("user_id", INT),
        Column("status", TEXT),
        Column("placed_at", ColumnType("timestamptz")),
    ),
    primary_key=("id",),
    unique_keys=(("id",),),
)
ITEM: Final = Relation(
    "public",
    "item",
    (
        Column("id", INT, in_identity=True),
        Column("order_id", INT),
        Column("product", TEXT),
        Column("quantity", ColumnType("int4")),
        Column("price", PRICE),
    ),
    primary_key=("id",),
    unique_keys=(("id",),),
)
SHOWN: Final = ["id", "product", "quantity", "price"]
ON: Final = {"order_id": "id"}
MAPPING: Final = {
    "from": "public.order",
    "fields": "*",
    "embed": {
        "items": {
            "many": "public.item",
            "on": ON,
            "fields": ["id", "product", "quantity", "price"],
        },
        "count": {"count": "public.item", "on": ON},
        "sum": {"sum": "public.item", "value": "price", "on": ON},
    },
}
HERE: Final = Here("benchmark", "source", boot_id(), Position(0), None, "")


def order(number: int) -> list[bytes]:
    """One row."""
    return [b"%d" % number, b"%d" % (number % 2000), b'"paid"', b'"2026-05-01T10:00:00+00:00"']


def item(number: int, price: int) -> list[bytes]:
    """One row, of about 70 bytes."""
    return [
        b"%d" % number,
        b"%d" % (number % ORDERS),
        b'"Product %d of the store, in blue"' % (number % 997),
        b"%d" % (number % 7),
        b"%d.%02d" % (price, number % 100),
    ]


def compiled() -> Compiled:
    """The read model of orders."""
    configs = {"orders": ProjectionConfig.model_validate(MAPPING)}
    relations = {"public.order": ORDER, "public.item": ITEM}
    return compile_projections(configs, relations, lambda *_: "")


def timed(name: str, count: int, work: Callable[[], object]) -> None:
    """Print processor time of this thread, and what it makes a second."""
    began = time.thread_time()
    work()
    took = time.thread_time() - began
    print(f"{name:58} {took / count * 1e6:7.2f} us {count / took:9,.0f}/s")


class Bench:
    """A store of orders, and what follows it."""

    def __init__(self, home: Home, folder: Path) -> None:
        plans = compiled().plans
        self.store: Store = home.create(HERE)
        self.store.fit(wanted(plans))
        for table in self.store.schema.to_load:
            self.store.loaded(table)
        for aggregate in self.store.schema.to_count:
            self.store.counted(aggregate)
        self._folder = folder
        self._joined = JoinedProjections(plans, self.store)
        self._position = 0
        tables = {one.name: one for one in wanted(plans).relations}
        self.order, self.item = tables["order"], tables["item"]

    def staged(self, changes: Sequence[Change]) -> list[tuple[Staged, Position]]:
        """Each a transaction."""
        found = []
        for change in changes:
            one = Staged(self.store.tables, self._folder, MEMORY)
            one.put(change)
            self._position += 1
            found.append((one, Position(self._position)))
        return found

    def follow(self, changes: Sequence[Change], batch: int, *, assemble: bool) -> int:
        """Stage, apply and assemble, so many transactions in one of the state."""
        documents = 0
        for begin in range(0, len(changes), batch):
            pending = self._joined.apply(self.staged(changes[begin : begin + batch]))
            if assemble:
                position, found, _ = self._joined.assemble(pending)
                documents += len(found)
                written = [Written("orders", one.address, position) for one in found]
                self._joined.reach(position, written)
        return documents

    def load(self) -> None:
        """All rows, in one transaction of the source for each table."""
        for relation, rows in (
            (self.order, [order(n) for n in range(ORDERS)]),
            (self.item, [item(n, 1) for n in range(ITEMS)]),
        ):
            one = Staged(self.store.tables, self._folder, MEMORY)
            for row in rows:
                one.put(Change(relation, ChangeKind.INSERT, list(row)))
            self._position += 1
            self._joined.apply([(one, Position(self._position))])

    def updates(self, chosen: random.Random) -> list[Change]:
        """Other prices for some rows."""
        numbers = [chosen.randrange(ITEMS) for _ in range(UPDATES)]
        return [
            Change(self.item, ChangeKind.UPDATE, list(item(n, chosen.randrange(2, 10**6))))
            for n in numbers
        ]


def measure(folder: Path) -> None:
    """Each step on the results of the one before."""
    chosen = random.Random(1)
    home = Home(folder)
    bench = Bench(home, folder)
    timed("load orders and items, a row", ORDERS + ITEMS, bench.load)
    some = [bench.updates(chosen) for _ in range(4)]
    timed("stage updates of items", UPDATES, lambda: bench.staged(some[0]))
    timed(
        "stage and apply, 50 in one of the state",
        UPDATES,
        lambda: bench.follow(some[1], BATCH, assemble=False),
    )
    timed(
        "stage, apply, assemble, mark as written",
        UPDATES,
        lambda: bench.follow(some[2], BATCH, assemble=True),
    )
    timed(
        "the same, each in one of its own", UPDATES, lambda: bench.follow(some[3], 1, assemble=True)
    )
    if sys.argv[1:] == ["profile"]:
        profile = cProfile.Profile()
        profile.runcall(bench.follow, bench.updates(chosen), BATCH, assemble=True)
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
    bench.store.close()
    home.close()


def main() -> None:
    """Print the steps."""
    print(describe())
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        measure(Path(folder))


if __name__ == "__main__":
    main()
