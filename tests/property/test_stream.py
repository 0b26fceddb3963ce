"""Random tables through a real slot and a real COPY, with `to_jsonb` of each row as the oracle.

PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.events import UNCHANGED, Change, ChangeKind, Commit, Relation, Row, Special
from cdc_daemon.ports import TableRequest
from cdc_daemon.values import SESSION_SETTINGS
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from tests.generators.budget import repeatable, rounds, seeded
from tests.generators.existing_rows import existing_rows
from tests.generators.json_meaning import as_documented, parse
from tests.generators.pg_scalars import EXTENSIONS
from tests.generators.pg_values import (
    PgType,
    array_of,
    random_type,
    random_value_sql,
    scalar,
)
from tests.property.test_values import WITHOUT_INPUT, built_in_types, created

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from cdc_daemon.ports import Source
    from tests.conftest import Database

Connection = psycopg.Connection[tuple[Any, ...]]

COLUMNS = 24
ROWS = 6
TRANSACTIONS = 8
READ_SECONDS = 30
TRIES = 10
"""For a value that the type takes: of some types it takes one in four."""


@pytest.fixture(params=["database15", "database16", "database"])
def server_database(request: pytest.FixtureRequest) -> Database:
    """A fresh database, on PostgreSQL 15, 16 and on the one that tests run on."""
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def connection(server_database: Database) -> Iterator[Connection]:
    """Writes, and asks the oracle under the session settings that documents have."""
    options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
    with psycopg.connect(server_database.dsn, autocommit=True, options=options) as connection:
        yield connection


@pytest.fixture
def source(server_database: Database) -> Iterator[PostgresSource]:
    """The source that is tested."""
    config = PostgresConfig.model_validate(
        {"type": "postgres", "dsn": server_database.dsn, "slot": server_database.name}
    )
    made = PostgresSource(config, pipeline="property")
    yield made
    made.close()


@dataclass
class RandomTable:
    """One table of random types, what the server says is in it, and what the source says."""

    connection: Connection
    rng: Random
    name: str
    types: list[PgType]
    full: bool
    keys: int = 0
    oracle: list[dict[str, Any]] = field(default_factory=list)
    """After each transaction: key to the row by `to_jsonb`."""

    def create(self) -> None:
        """With the values of each type that this server takes."""
        columns = "".join(f", c{at} {each.sql}" for at, each in enumerate(self.types))
        self.connection.execute(f"create table {self.name} (id int primary key{columns})")
        if self.full:
            self.connection.execute(f"alter table {self.name} replica identity full")

    def values(self) -> list[str]:
        """A random value for every column."""
        return [self._value(each) for each in self.types]

    def _value(self, type_: PgType) -> str:
        for _ in range(TRIES):
            value = random_value_sql(self.rng, type_)
            try:
                # to_jsonb refuses what the type takes: a lone surrogate in json, say
                self.connection.execute(f"select to_jsonb({value})".encode())
            except psycopg.Error:
                continue
            return value
        return "null"

    def insert(self) -> str:
        """A new row."""
        self.keys += 1
        return f"insert into {self.name} values ({', '.join([str(self.keys), *self.values()])})"

    def update(self) -> str:
        """Some columns of some row, now and then its key."""
        sets = [f"c{at} = {value}" for at, value in enumerate(self.values())]
        sets = self.rng.sample(sets, self.rng.randint(0, len(sets)))
        if not sets or self.rng.random() < 0.3:
            self.keys += 1
            sets.append(f"id = {self.keys}")
        return f"update {self.name} set {', '.join(sets)} where id = ({self._some_key()})"

    def delete(self) -> str:
        """Some row."""
        return f"delete from {self.name} where id = ({self._some_key()})"

    def _some_key(self) -> str:
        return f"select id from {self.name} order by id offset {self.rng.randrange(4)} limit 1"

    def transact(self) -> None:
        """One transaction of some writes; it always writes something."""
        kinds = [self.insert, self.update, self.update, self.delete]
        writes = [self.insert(), *(self.rng.choice(kinds)() for _ in range(self.rng.randrange(4)))]
        with self.connection.transaction():
            for write in writes:
                self.connection.execute(write.encode())
        self.look()

    def look(self) -> None:
        """Ask the server what is in the table."""
        rows = self.connection.execute(f"select id, to_jsonb(t)::text from {self.name} t")
        self.oracle.append({str(key): parse(text) for key, text in rows.fetchall()})


class Mirror:
    """The rows as the source gives them, compared with the oracle."""

    def __init__(self, table: RandomTable, relation: Relation, counts: Counter[str]) -> None:
        self.table = table
        self.relation = relation
        self.rows: dict[str, Row] = {}
        self.counts = counts
        self.valued: set[str] = set()
        """Columns that have had another value than NULL."""

    def apply(self, change: Change) -> None:
        """Do what the change says; a value that wasn't sent is the one from before."""
        self.counts[change.kind.name.lower()] += 1
        before: Row | None = None
        if change.old is not None:
            before = self.rows.pop(key_of(change.old))
            if self.table.full:
                assert self.is_same(change.old, before), "the old row isn't the one that was there"
        if change.new is None:
            return
        if change.kind is ChangeKind.INSERT:
            assert key_of(change.new) not in self.rows
        before = before or self.rows.get(key_of(change.new))
        values = [*change.new, *(change.old or [])]
        special = any(isinstance(value, Special) for value in values)
        assert change.has_unchanged == (special or UNCHANGED in change.new)
        self.counts["special"] += special
        for at, value in enumerate(change.new):
            if value is UNCHANGED:
                assert before is not None
                change.new[at] = before[at]
                self.counts["unchanged"] += 1
        self.rows[key_of(change.new)] = change.new

    def is_same(self, old: Row, before: Row) -> bool:
        """Whether a whole old row is the one that was there."""
        return old == before

    def compare(self, expected: dict[str, Any]) -> None:
        """Every row of the one is a row of the other, and means the same."""
        assert self.rows.keys() == expected.keys()
        for key, row in self.rows.items():
            for column, value in zip(self.relation.columns, row, strict=True):
                assert isinstance(value, bytes)
                whole = expected[key][column.name]
                assert parse(value) == as_documented(column.type, whole), (column, value)
                if isinstance(value, Special):
                    wanted = as_documented(column.type, whole, exact=True)
                    assert parse(value.exact) == wanted, (column, value.exact)
                self.counts["values"] += 1
                if value == b"null":
                    self.counts["nulls"] += 1
                else:
                    self.valued.add(column.name)


def key_of(row: Row) -> str:
    """The key, its first column."""
    key = row[0]
    assert isinstance(key, bytes)
    return key.decode()


def test_streamed_and_copied_rows_equal_to_jsonb(
    connection: Connection, source: PostgresSource
) -> None:
    """Every type, random rows and NULLs: inserted, updated, moved, deleted; streamed and copied."""
    seed, rng = seeded()
    wanted = supported_types(connection)
    queue: list[str] = []
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    with repeatable(seed):
        least = math.ceil(len(wanted) / COLUMNS)
        for number in rounds(0.5, least=least, proof_share=1 / 18):
            if not queue:
                queue = rng.sample(sorted(wanted), len(wanted))
            names, queue = queue[:COLUMNS], queue[COLUMNS:]
            types = [wanted[name] for name in names] + random_types(connection, rng)
            table = RandomTable(connection, rng, f"t{number}", types, full=rng.random() < 0.3)
            valued = check_table(table, source, counts)
            connection.execute(f"drop table {table.name}")
            seen |= {name for at, name in enumerate(names) if f"c{at}" in valued}
            counts["tables"] += 1
    share = f"{len(seen)} of {len(wanted)} types"
    print(f"stream: {share}, {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert wanted.keys() - seen == set()


def check_table(table: RandomTable, source: PostgresSource, counts: Counter[str]) -> set[str]:
    """Rows before by COPY, rows after by the stream, compared after every transaction.

    Returns the columns in which other values than NULL were compared.
    """
    table.create()
    for _ in range(ROWS):
        table.connection.execute(table.insert().encode())
    table.look()
    relations = source.describe([TableRequest(f"public.{table.name}")])
    source.prepare(relations)
    mirror = Mirror(table, relations[0], counts)
    place = source.create_place()
    mirror.rows = {key_of(row): row for row in existing_rows(source, relations[0])}
    mirror.compare(table.oracle[0])
    source.start(relations, place)
    for _ in range(TRANSACTIONS):
        table.transact()
    transactions = follow(source, TRANSACTIONS)
    for changes, expected in zip(transactions, table.oracle[1:], strict=True):
        for change in changes:
            mirror.apply(change)
        mirror.compare(expected)
    return mirror.valued


def follow(source: Source, transactions: int) -> list[list[Change]]:
    """The changes of that many transactions."""
    found: list[list[Change]] = [[]]
    deadline = time.monotonic() + READ_SECONDS
    while len(found) <= transactions:
        assert time.monotonic() < deadline
        for event in source.read(0.2):
            if isinstance(event, Change):
                found[-1].append(event)
            elif isinstance(event, Commit):
                found.append([])
    return found[:-1]


def supported_types(connection: Connection) -> dict[str, PgType]:
    """Every built-in type, those of extensions, and arrays of all of them."""
    types = {n: t for n, t in built_in_types(connection).items() if n not in WITHOUT_INPUT}
    for name, (extension, text) in EXTENSIONS.items():
        query = "select from pg_available_extensions where name = %s"
        if connection.execute(query, [extension]).fetchone() is not None:
            connection.execute(f"create extension if not exists {extension}")
            types[name] = PgType(name, text)
    types |= {f"_{name}": array_of(one) for name, one in types.items()}
    return {name: one for name, one in types.items() if is_column_type(connection, one)}


def is_column_type(connection: Connection, type_: PgType) -> bool:
    """Whether a column can have it."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(f"create temp table probe (c {type_.sql})")
    except psycopg.Error:
        return False
    return True


def random_types(connection: Connection, rng: Random) -> list[PgType]:
    """Some nested ones."""
    chosen = [random_type(rng) for _ in range(4)]
    made = [one for one in chosen if created(connection, one) and is_column_type(connection, one)]
    return [*made, scalar("text")]
