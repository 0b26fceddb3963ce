"""Sources on fresh databases, and roles with few rights."""

from __future__ import annotations

import re
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdc_daemon.events import Change, Commit, Event, Relation
from cdc_daemon.ports import Finding, TableRequest
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectors.postgres.chunkreader import PostgresChunkReader
    from tests.conftest import Database

Connection = psycopg.Connection[tuple[Any, ...]]

SMALL_CHUNK_BYTES = 64 * 1024
WAIT_SECONDS = 20


class MakeSource(Protocol):
    """Builds sources that are closed at the end of the test."""

    def __call__(self, dsn: str = "", **settings: Any) -> PostgresSource:
        """`settings` are those of the `source:` section."""


class MakeRole(Protocol):
    """Makes roles that are dropped at the end of the test."""

    def __call__(self, attributes: str = "login replication") -> tuple[str, str]:
        """The role's name, and how it connects."""


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """The superuser's."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def item(connection: Connection) -> None:
    """An ordinary table."""
    connection.execute("create table item (id int primary key, name text, extra text)")


@pytest.fixture
def make_source(database: Database) -> Iterator[MakeSource]:
    """Slot and publication are named after the database: slots are per server."""
    made = []

    def make(dsn: str = "", **settings: Any) -> PostgresSource:
        section: dict[str, Any] = {
            "type": "postgres",
            "dsn": dsn or database.dsn,
            "slot": database.name,
        }
        section["publication"] = {"name": "pub", **settings.pop("publication", {})}
        config = PostgresConfig.model_validate({**section, "slot_wait": "1s", **settings})
        made.append(PostgresSource(config, pipeline="integration"))
        return made[-1]

    yield make
    for source in made:
        source.close()


@pytest.fixture
def source(make_source: MakeSource) -> PostgresSource:
    """The superuser's source."""
    return make_source()


@pytest.fixture
def reader(source: PostgresSource) -> Iterator[PostgresChunkReader]:
    """Reads chunks as the superuser."""
    made = source.chunk_reader()
    yield made
    made.close()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight blocks each, so that small tables have many."""
    real = PostgresSource.chunk_reader
    monkeypatch.setattr(
        PostgresSource, "chunk_reader", lambda source: real(source, SMALL_CHUNK_BYTES)
    )


@pytest.fixture
def make_role(database: Database, connection: Connection) -> Iterator[MakeRole]:
    """Roles are per server, so their names are made up."""
    made = []

    def make(attributes: str = "login replication") -> tuple[str, str]:
        name = f"r{uuid.uuid4().hex[:8]} x"
        made.append(name)
        connection.execute(
            sql.SQL(f"create role {{}} {attributes} password 'geheim'").format(sql.Identifier(name))
        )
        return name, with_settings(database.dsn, user=name, password="geheim")  # noqa: S106 - a test's

    yield make
    for name in made:
        role = sql.Identifier(name)
        connection.execute(sql.SQL("drop owned by {}").format(role))
        connection.execute(sql.SQL("drop role {}").format(role))


def with_settings(dsn: str, **settings: Any) -> str:
    """The connection string with other settings."""
    return make_conninfo(**{**conninfo_to_dict(dsn), **settings})


def describe(source: PostgresSource, *tables: str) -> list[Relation]:
    """The tables with all columns that are streamed."""
    return source.describe([TableRequest(table) for table in tables])


def start(source: PostgresSource, *tables: str) -> list[Relation]:
    """Load nothing, and begin the stream now."""
    relations = describe(source, *tables)
    source.prepare(relations)
    source.start(relations, source.create_place())
    return relations


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def one(connection: Connection, query: str) -> Any:
    """The one value that it gives."""
    [(value,)] = connection.execute(query.encode())
    return value


def waits_for_a_lock(connection: Connection) -> bool:
    """Whether a connection of ours does."""
    return bool(one(connection, WAITING))


WAITING = (
    "select exists (select from pg_stat_activity where application_name like 'cdc-daemon%' "
    "and datname = current_database() and wait_event_type = 'Lock')"
)


def read_commits(source: PostgresSource, count: int, *, seconds: float = 20) -> list[Change]:
    """All changes until that many commits have come."""
    changes: list[Change] = []
    deadline = time.monotonic() + seconds
    while count > 0:
        assert time.monotonic() < deadline, f"{count} commits are missing, {changes} came"
        for event in source.read(0.2):
            if isinstance(event, Change):
                changes.append(event)
            count -= isinstance(event, Commit)
    return changes


def read_all(source: PostgresSource, seconds: float) -> list[Event]:
    """Everything that comes within that time."""
    events: list[Event] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        events.extend(source.read(0.1))
    return events


@contextmanager
def untouched(connection: Connection) -> Iterator[None]:
    """Nothing is made or altered: publications, their tables, slots."""
    before = _footprint(connection)
    yield
    assert _footprint(connection) == before


def _footprint(connection: Connection) -> list[Any]:
    queries = (
        "select xmin::text, * from pg_publication order by 3",
        "select * from pg_publication_tables order by 1, 2, 3",
        "select slot_name from pg_replication_slots where database = current_database()",
    )
    return [connection.execute(query).fetchall() for query in queries]


def examined(source: PostgresSource, *tables: str) -> list[Finding]:
    """All findings over the tables with all of their columns."""
    return list(source.examine(source.describe([TableRequest(table) for table in tables])))


def alarms(source: PostgresSource, *tables: str) -> dict[str, str]:
    """What is not ok, by check; its level first."""
    found = [each for each in examined(source, *tables) if each.level != "ok"]
    return {each.check: f"{each.level}: {each.message}" for each in found}


def run_advice(connection: Connection, message: str, user: str = "") -> None:
    """The SQL that a message tells to run."""
    script = re.split(r"[Rr]un(?:,? [^:]*)?: |: (?=select )", message)[-1]
    if user:
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(user)))
    for statement in script.split("; "):
        if statement.startswith(("alter", "grant", "select", "create", "rollback")):
            connection.execute(statement.encode())
    connection.execute("reset role")
