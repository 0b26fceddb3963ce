"""The PostgreSQL source keeps the contract of every source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from tests.conformance.chunk_suite import (  # noqa: F401 - a fixture of the suite
    ChunkSuite,
    reader,
)
from tests.conformance.follower import follower  # noqa: F401 - a fixture of the suite
from tests.conformance.place_suite import PlaceSuite
from tests.conformance.source_suite import SourceSuite
from tests.conformance.upstream import Delete, Insert, Truncate, Update, Write
from tests.generators.waits import committed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.ports import Source
    from tests.conftest import Database


class PostgresUpstream:
    """A table of a fresh database, made by `ddl`."""

    def __init__(self, database: Database, table: tuple[str, str], ddl: str) -> None:
        self._dsn = database.dsn
        self._name = database.name
        self._table = sql.Identifier(*table)
        self.table = ".".join(table)
        self._sources: list[Source] = []
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(ddl).format(table=self._table))

    def source(self) -> Source:
        """Follows the database; slots are per server, so the slot is named after the database."""
        config = PostgresConfig.model_validate(
            {"type": "postgres", "slot": f"s_{self._name}", "slot_wait": "5s", **self.settings()}
        )
        self._sources.append(PostgresSource(config, pipeline="conformance"))
        return self._sources[-1]

    def settings(self) -> dict[str, Any]:
        """Where it is."""
        return {"dsn": self._dsn}

    def close(self) -> None:
        """Close what a failed test left open."""
        for source in self._sources:
            source.close()

    def commit(self, *writes: Write) -> None:
        """One transaction."""
        with psycopg.connect(self._dsn) as connection:
            self._write(connection, writes)

    def roll_back(self, *writes: Write) -> None:
        """One transaction, undone."""
        with psycopg.connect(self._dsn) as connection:
            self._write(connection, writes)
            connection.rollback()

    def _write(self, connection: psycopg.Connection, writes: tuple[Write, ...]) -> None:
        for write in writes:
            match write:
                case Insert(key, note):
                    statement, values = "insert into {} (id, note) values (%s, %s)", [key, note]
                case Update(key, note, new):
                    statement = "update {} set note = %s, id = %s where id = %s"
                    values = [note, new or key, key]
                case Delete(key):
                    statement, values = "delete from {} where id = %s", [key]
                case Truncate():
                    statement, values = "truncate {}", []
            connection.execute(sql.SQL(statement).format(self._table), values)

    def token(self) -> str:
        """Its history and the end of its log."""
        return committed(self._dsn, "select 1")

    def disconnect(self) -> None:
        """End the server's side of every connection of ours."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            self._cut(connection)

    def _cut(self, connection: psycopg.Connection) -> None:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid() "
            "and application_name like 'cdc-daemon%'"
        )


PLAIN = "create table {table} (id text primary key, note text)"
WIDER = (
    'create schema if not exists "Schöner Laden"; create table {table} (id varchar(40) not null, '
    'gone int, note text, "more""quotes" int default 7, unique (id)); '
    "alter table {table} drop column gone, add primary key (id)"
)
FULL = PLAIN + "; alter table {table} replica identity full"
PARTITIONED = (
    "create table {table} (id text primary key, note text) partition by hash (id); "
    "create table part_0 (note text, dropped int, id text not null); "
    "alter table part_0 drop column dropped; "
    "alter table {table} attach partition part_0 for values with (modulus 2, remainder 0); "
    "create table part_1 partition of {table} for values with (modulus 2, remainder 1)"
)


class TestPostgres(ChunkSuite, PlaceSuite, SourceSuite):
    """PostgreSQL, a real one, with an ordinary table."""

    @pytest.fixture
    def upstream(self, database: Database) -> Iterator[PostgresUpstream]:
        """Key and note, nothing else."""
        made = PostgresUpstream(database, ("public", "item"), PLAIN)
        yield made
        made.close()


class TestPostgres16(ChunkSuite, PlaceSuite, SourceSuite):
    """An older server, and names that must be quoted."""

    @pytest.fixture
    def upstream(self, database16: Database) -> Iterator[PostgresUpstream]:
        """Other columns besides, and one that was dropped."""
        made = PostgresUpstream(database16, ("Schöner Laden", 'Mixed "Case" Ünï'), WIDER)
        yield made
        made.close()


class TestPostgres15(ChunkSuite, PlaceSuite, SourceSuite):
    """The oldest server that the tests have, which is Debian's."""

    @pytest.fixture
    def upstream(self, database15: Database) -> Iterator[PostgresUpstream]:
        """Key and note, nothing else."""
        made = PostgresUpstream(database15, ("public", "item"), PLAIN)
        yield made
        made.close()


class TestReplicaIdentityFull(ChunkSuite, PlaceSuite, SourceSuite):
    """The server sends whole old rows."""

    @pytest.fixture
    def upstream(self, database: Database) -> Iterator[PostgresUpstream]:
        """Replica identity full."""
        made = PostgresUpstream(database, ("public", "item"), FULL)
        yield made
        made.close()

    def test_tells_the_old_key_only_where_it_changed(self) -> None:  # type: ignore[override]
        """Here every update has it: see `TestPostgres`."""


class TestPartitioned(ChunkSuite, PlaceSuite, SourceSuite):
    """A table whose rows are in partitions with another order of columns."""

    @pytest.fixture
    def upstream(self, database: Database) -> Iterator[PostgresUpstream]:
        """Two partitions."""
        made = PostgresUpstream(database, ("public", "item"), PARTITIONED)
        yield made
        made.close()

    def test_tells_the_old_key_only_where_it_changed(self) -> None:  # type: ignore[override]
        """A row that moves to another partition comes as delete and insert."""
