"""Tables with columns of every type, and documents of their rows in a real sink."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.errors import RejectedError
from cdc_daemon.events import DocumentOperation
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.projection.showing import Showing
from cdc_daemon.values import SESSION_SETTINGS
from connectors.postgres.catalog import describe
from connectors.postgres.copytext import read_line
from connectors.postgres.rowplan import column_plans
from connectors.postgres.tupleplan import tolerant
from tests.generators.pg_scalars import EXTENSIONS, SCALARS
from tests.generators.pg_values import (
    RANGES,
    PgType,
    array_of,
    literal,
    multirange_of,
    range_of,
    scalar,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from cdc_daemon.ports import Sink
    from cdc_daemon.projection.flat import FlatProjection
    from tests.conftest import Database

ROWS = 60
"""Values of each type."""
OTHERS = [
    "create type mood as enum ('sad', 'happy')",
    "create domain positive as int4 check (value > 0)",
    "create domain positives as positive[]",
    "create type pair as (number numeric, day date, said text)",
    "create type pairs as (one pair, many pair[])",
    "create type moods as range (subtype = text)",
]
VALUES_OF_OTHERS: dict[str, list[str]] = {
    "mood": ["sad", "happy"],
    "mood[]": ["{sad,NULL}", "[0:1]={happy,sad}", "{}"],
    "positives": ["{1,2}", "{}"],
    "pair": ["(1.50,2024-02-29,x)", "(NaN,infinity,NaN)", "(,,)", "(1,0044-03-15 BC,)"],
    "pair[]": ['{"(1.50,2024-02-29,x)"}', '{"(NaN,-infinity,\\"a b\\")",NULL}'],
    "pairs": ['("(1,12024-01-01,)","{""(Infinity,2024-01-01,y)""}")'],
    "moods": ["[a,b)", "empty"],
}
Connection = psycopg.Connection[tuple[Any, ...]]


@contextmanager
def connected(database: Database) -> Iterator[Connection]:
    """A connection that shows values as the daemon's do."""
    options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
    with psycopg.connect(database.dsn, autocommit=True, options=options) as connection:
        yield connection


class Table:
    """A table whose rows become documents of one read model, refused ones apart."""

    def __init__(self, connection: Connection, columns: dict[str, str]) -> None:
        """`columns`: name to type."""
        self.connection = connection
        self.columns = columns
        listed = ", ".join(f'"{name}" {sql}' for name, sql in columns.items())
        connection.execute(f"create table every (id int primary key, {listed})")
        self.rows = 0
        self.nulled: list[str] = []

    def insert(self, column: str, text: str) -> bool:
        """Add a row with a value in one column; False if the server refuses it."""
        value = f"cast({literal(text)} as {self.columns[column]})"
        try:
            self.connection.execute(
                f'insert into every (id, "{column}") values ({self.rows}, {value})'.encode()
            )
        except psycopg.Error:
            return False
        self.rows += 1
        return True

    def projection(self, sink: Sink, config: dict[str, Any]) -> FlatProjection:
        """The read model, with the forms that the sink asks for."""
        relation = describe(self.connection, [TableRequest("public.every")])[0]
        showing = Showing(sink.form, lambda _, field: self.nulled.append(field))
        parsed = ProjectionConfig.model_validate({"from": "public.every", **config})
        compiled = compile_projections(
            {"every": parsed}, {"public.every": relation}, lambda *_: "f.yaml:1", showing
        )
        return compiled.projections[0]

    def contents(self, projection: FlatProjection) -> Iterator[tuple[bytes, bytes]]:
        """Id and document of each row, as a load makes them."""
        plans = column_plans(projection.relation.columns)
        names = ", ".join(f'"{column.name}"' for column in projection.relation.columns)
        statement = f"copy (select {names} from every order by id) to stdout"
        with self.connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for line in copy:
                try:
                    content = projection.load(read_line(bytes(line), plans))
                except RejectedError:
                    row = read_line(bytes(line), tolerant(plans))
                    content = projection.load_partly_unreadable(row)
                assert content is not None
                yield content


@contextmanager
def written(
    sink: Sink, table: Table, projection: FlatProjection
) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The index with all documents, and what was refused: why, and of which row."""
    generation = sink.create_generation(projection.model)
    writer = sink.writer()
    operations = [
        DocumentOperation(generation.index, id_, 1, body)
        for id_, body in table.contents(projection)
    ]
    refused = [("letter", o.body or b"") for o in operations if (o.body or b"")[:1] == b"!"]
    good = [o for o in operations if (o.body or b"")[:1] == b"{"]
    refused += [(one.explanation, one.operation.body or b"") for one in writer.write(good).rejected]
    sink.refresh([generation.index])
    yield generation.index, refused
    writer.close()
    sink.drop_generation(generation)


def available(connection: Connection) -> dict[str, Callable[[Random], str]]:
    """Types of extensions that this server has, created."""
    found = {}
    for name, (extension, text) in EXTENSIONS.items():
        query = "select from pg_available_extensions where name = %s"
        if connection.execute(query, [extension]).fetchone() is not None:
            connection.execute(f"create extension if not exists {extension}".encode())
            found[name] = text
    return found


def generated(connection: Connection) -> dict[str, PgType]:
    """Every base type that a column can have, ranges, multiranges, and arrays of all of them."""
    has = "select from pg_type where typname = %s and typtype = 'b'"
    names = [n for n in SCALARS if connection.execute(has, [n]).fetchone() is not None]
    found = {name: scalar(name) for name in names}
    # Needs the k-NN plugin: `test_vectors_can_be_kept`.
    extended = {name: text for name, text in available(connection).items() if name not in VECTORS}
    found |= {name: PgType(name, text) for name, text in extended.items()}
    for name, spans in RANGES.items():
        found[name] = range_of(name, scalar(spans))
        multi = name.replace("range", "multirange")
        found[multi] = multirange_of(multi, found[name])
    return found | {f"{name}[]": array_of(one) for name, one in found.items()}


VECTORS = {"vector", "halfvec"}
