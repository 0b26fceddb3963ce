"""Random tables through triggers and outbox, with `to_jsonb` of each row as the oracle.

PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.ports import TableRequest
from cdc_daemon.values import SESSION_SETTINGS
from connectors.outbox import OutboxSource
from connectors.outbox.config import OutboxConfig
from connectors.outbox.installing import is_ambiguous
from connectors.postgres.database import Database as DatabaseOfSource
from tests.generators.budget import repeatable, rounds, seeded
from tests.generators.existing_rows import existing_rows
from tests.generators.json_meaning import parse
from tests.generators.outboxes import install_outbox
from tests.property.test_stream import (
    COLUMNS,
    ROWS,
    TRANSACTIONS,
    Connection,
    Mirror,
    RandomTable,
    follow,
    key_of,
    random_types,
    supported_types,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Row
    from tests.conftest import Database
    from tests.generators.pg_values import PgType

OF_WRITERS = (
    "set datestyle = 'SQL, MDY'; set intervalstyle = 'sql_standard'; set extra_float_digits = 0; "
    "set timezone = 'Asia/Kolkata'; set bytea_output = 'escape'"
)
"""An application may have set any of it."""


@pytest.fixture(params=[16, 18])
def server_database(request: pytest.FixtureRequest) -> Database:
    """A fresh database, on PostgreSQL 16 and on the one that tests run on."""
    name = "database16" if request.param == 16 else "database"
    found: Database = request.getfixturevalue(name)
    return found


@pytest.fixture
def connection(server_database: Database) -> Iterator[Connection]:
    """Makes values, and asks the oracle under the session settings that documents have."""
    options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
    with psycopg.connect(server_database.dsn, autocommit=True, options=options) as connection:
        yield connection


class ReadableTable(RandomTable):
    """Its values can be read by the server that wrote them."""

    def _value(self, type_: PgType) -> str:
        """Not the first moment after the last one, which rounding makes: a dump has it in vain."""
        value = super()._value(type_)
        try:
            self.connection.execute(f"select ({value})::{type_.sql}::text::{type_.sql}".encode())
        except psycopg.Error:
            return "null"
        return value


class MirrorOfNoted(Mirror):
    """What was noted as JSON is the same by its meaning: `json` has lost the blanks around it."""

    def is_same(self, old: Row, before: Row) -> bool:
        """Whether each value means what it was."""
        return meanings(old) == meanings(before)


def meanings(row: Row) -> list[object]:
    """Of each value; all of them were sent."""
    values = [value for value in row if isinstance(value, bytes)]
    assert len(values) == len(row)
    return [parse(value) for value in values]


def test_noted_rows_equal_to_jsonb(server_database: Database, connection: Connection) -> None:
    """Every type that isn't refused, whatever the settings of the session that writes."""
    seed, rng = seeded()
    wanted = {
        name: each for name, each in supported_types(connection).items() if "hstore" not in name
    }
    queue: list[str] = []
    counts: Counter[str] = Counter()
    with repeatable(seed), psycopg.connect(server_database.dsn, autocommit=True) as writer:
        writer.execute(OF_WRITERS)
        for number in rounds(0.5):
            if not queue:
                queue = rng.sample(sorted(wanted), len(wanted))
            names, queue = queue[:COLUMNS], queue[COLUMNS:]
            types = [wanted[name] for name in names] + random_types(connection, rng)
            types = [each for each in types if "hstore" not in each.sql]
            table = ReadableTable(connection, rng, f"t{number}", types, full=rng.random() < 0.3)
            check_table(server_database, table, writer, counts)
            connection.execute(f"drop table {table.name}")
            counts["tables"] += 1
    print(f"outbox: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert counts["values"]


def check_table(
    database: Database, table: RandomTable, writer: Connection, counts: Counter[str]
) -> None:
    """Rows before by COPY, rows after by the triggers, compared after every transaction."""
    table.create()
    drop_ambiguous(database, table)
    for _ in range(ROWS):
        table.connection.execute(table.insert().encode())
    table.look()
    install_outbox(database.dsn, "property", [f"public.{table.name}"])
    config = OutboxConfig.model_validate({"type": "outbox", "dsn": database.dsn})
    with closing(OutboxSource(config, pipeline="property")) as source:
        relations = source.describe([TableRequest(f"public.{table.name}")])
        source.prepare(relations)
        mirror = MirrorOfNoted(table, relations[0], counts)
        place = source.create_place()
        mirror.rows = {key_of(row): row for row in existing_rows(source, relations[0])}
        source.start(relations, place)
        for _ in range(TRANSACTIONS):
            transact(table, writer)
            [changes] = follow(source, 1)
            for change in changes:
                mirror.apply(change)
            mirror.compare(table.oracle[-1])


def drop_ambiguous(database: Database, table: RandomTable) -> None:
    """Make it without columns of the types that are refused."""
    with closing(DatabaseOfSource(database.dsn, "test")) as looked_at:
        [relation] = looked_at.describe([TableRequest(f"public.{table.name}")])
    refused = {column.name for column in relation.columns if is_ambiguous(column.type)}
    if refused:
        table.types = [one for at, one in enumerate(table.types) if f"c{at}" not in refused]
        table.connection.execute(f"drop table {table.name}")
        table.create()


def transact(table: RandomTable, writer: Connection) -> None:
    """One transaction of some writes, by a session that has settings of its own."""
    kinds = [table.insert, table.update, table.update, table.delete]
    writes = [table.insert(), *(table.rng.choice(kinds)() for _ in range(table.rng.randrange(4)))]
    with writer.transaction():
        for write in writes:
            writer.execute(write.encode())
    table.look()
