"""What a chunk's snapshot sees, and when the stream has shown all of it."""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.errors import RetryError
from cdc_daemon.events import Commit, Watermark
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from connectors.postgres.lsn import parse_lsn
from tests.generators.existing_rows import planned, rows_of
from tests.integration.postgres.conftest import (
    WAIT_SECONDS,
    Connection,
    describe,
    one,
    start,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.postgres.chunkreader import PostgresChunkReader
    from tests.conftest import Database, StartPostgres


@pytest.fixture(autouse=True)
def item(connection: Connection) -> None:
    """A table of many blocks."""
    connection.execute("create table item (id int primary key, name text)")
    connection.execute(
        "insert into item select i, repeat('x', 200) from generate_series(1, 2000) i"
    )


def test_an_open_transaction_is_not_seen(
    database: Database,
    source: PostgresSource,
    reader: PostgresChunkReader,
    connection: Connection,
) -> None:
    """Its rows are not in the chunk, and the snapshot says so; once it has committed they are.

    Others that began before it are open, and others that began later are seen.
    """
    start(source, "item")
    (relation,) = describe(source, "item")
    with (
        psycopg.connect(database.dsn) as older,
        psycopg.connect(database.dsn) as writing,
    ):
        older.execute("select pg_current_xact_id()")
        writing.execute("savepoint one")
        writing.execute("update item set name = 'changed' where id = 1")
        writing.execute("release one; savepoint two")
        writing.execute("insert into item values (0, 'new')")
        connection.execute("update item set name = 'later' where id = 2")
        (chunk,) = planned(source, relation)
        before = reader.read(relation, chunk)
    later, commit = next_commits(source, 2)
    assert before.seen.sees(later.xid)
    assert not before.seen.sees(commit.xid)
    assert len(before.rows) == 2000
    assert before.reached < commit.position
    after = reader.read(relation, chunk)
    assert after.seen.sees(commit.xid)
    assert len(after.rows) == 2001
    assert after.reached >= commit.position
    assert reader.visibility().sees(commit.xid)


def test_nothing_is_held_between_chunks(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """Neither a transaction nor a snapshot: vacuum goes on. The connection has our name."""
    (relation,) = describe(source, "item")
    (chunk,) = planned(source, relation)
    reader.read(relation, chunk)
    reader.visibility()
    query = (
        "select backend_xmin, backend_xid, state from pg_stat_activity "
        "where application_name = 'cdc-daemon:integration' and datname = current_database()"
    )
    assert set(connection.execute(query.encode()).fetchall()) == {(None, None, "idle")}


@pytest.fixture
def standby_source(private_postgres: StartPostgres) -> Iterator[PostgresSource]:
    """Of a server of its own, whose commits can be held, with a table of one row."""
    server = private_postgres()
    config = PostgresConfig.model_validate({"type": "postgres", "dsn": server.dsn})
    with closing(PostgresSource(config, pipeline="standby")) as source:
        with administrator(source) as connection:
            connection.execute("create table item (id int primary key)")
            connection.execute("insert into item values (1)")
        yield source


@contextmanager
def administrator(source: PostgresSource) -> Iterator[Connection]:
    """A connection whose own commits wait for nobody."""
    with psycopg.connect(source._server.dsn, autocommit=True) as connection:
        connection.execute("set synchronous_commit = local")
        yield connection


def test_a_commit_that_waits_for_a_standby_is_not_seen(standby_source: PostgresSource) -> None:
    """The stream has shown it, snapshots don't see it yet, and so they say."""
    source = standby_source
    (relation,) = start(source, "item")
    (chunk,) = planned(source, relation)
    with administrator(source) as connection, closing(source.chunk_reader()) as reader:
        with held_insert(source, connection):
            (commit,) = next_commits(source, 1)
            held = reader.read(relation, chunk)
            assert held.rows == [[b"1"]]
            assert not held.seen.sees(commit.xid)
            assert held.reached >= commit.position
        free = reader.read(relation, chunk)
        assert sorted(map(str, free.rows)) == ["[b'1']", "[b'2']"]
        assert free.seen.sees(commit.xid)


def test_a_commit_that_is_neither_streamed_nor_visible_is_waited_for(
    standby_source: PostgresSource,
) -> None:
    """It is held since before the slot's consistent point: chunks would lack its rows for ever.

    The slot's beginning waits for `first`, then for `second`; the held transaction begins between.
    """
    source = standby_source
    (relation,) = describe(source, "item")
    source.prepare([relation])
    making = threading.Thread(target=source.create_place)
    with administrator(source) as connection:
        with psycopg.connect(source._server.dsn) as second:
            with psycopg.connect(source._server.dsn) as first:
                first.execute("select pg_current_xact_id()")
                making.start()
                wait_until(lambda: slot_waits_for(connection, first))
                second.execute("select pg_current_xact_id()")
                first.rollback()
            wait_until(lambda: slot_waits_for(connection, second))
            with held_insert(source, connection):
                second.rollback()
                making.join()
                with pytest.raises(RetryError, match="aren't visible yet"):
                    planned(source, relation)
        with closing(source.chunk_reader()) as reader:
            rows = rows_of(reader, relation, planned(source, relation))
        assert sorted(map(str, rows)) == ["[b'1']", "[b'2']"]


def slot_waits_for(connection: Connection, holder: Connection) -> bool:
    """Whether the making of a slot waits for the end of that connection's transaction."""
    waiting = "select pid from pg_locks where locktype = 'transactionid' and not granted"
    pids = [pid for (pid,) in connection.execute(waiting)]
    blocking = "select %s = any(pg_blocking_pids(%s))"
    holding = holder.info.backend_pid
    return any(connection.execute(blocking, [holding, pid]).fetchone() == (True,) for pid in pids)


@contextmanager
def held_insert(source: PostgresSource, connection: Connection) -> Iterator[None]:
    """The row 2, whose commit waits for a standby that isn't there until the end."""
    hold_commits(connection, "nobody")
    with psycopg.connect(source._server.dsn, autocommit=True) as writing:
        thread = threading.Thread(target=writing.execute, args=["insert into item values (2)"])
        thread.start()
        held = "select exists (select from pg_stat_activity where wait_event = 'SyncRep')"
        wait_until(lambda: bool(one(connection, held)))
        try:
            yield
        finally:
            hold_commits(connection, "")
            thread.join()


def hold_commits(connection: Connection, standby: str) -> None:
    """Let commits wait for that standby, which isn't there; or let them go."""
    connection.execute(f"alter system set synchronous_standby_names = '{standby}'".encode())
    connection.execute("select pg_reload_conf()")
    show = "select current_setting('synchronous_standby_names')"
    wait_until(lambda: bool(one(connection, show) == standby))


def next_commits(source: PostgresSource, count: int) -> list[Commit]:
    """The next ones that the stream shows."""
    commits: list[Commit] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while len(commits) < count:
        assert time.monotonic() < deadline
        commits.extend(event for event in source.read(0.1) if isinstance(event, Commit))
    return commits


FILL_A_PAGE = """
do $$ begin
  loop
    perform pg_logical_emit_message(false, 'cdc-daemon', '');
    exit when (pg_current_wal_insert_lsn() - '0/0') % 8192 = 24;
  end loop;
end $$
"""
BORDERS = {"page": (FILL_A_PAGE, 24), "segment": ("select pg_switch_wal()", 40)}


@pytest.mark.parametrize("border", BORDERS)
def test_the_stream_reaches_the_end_of_a_page(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection, border: str
) -> None:
    """Where the log ends at the border of a page or segment, and nothing more is written."""
    (relation,) = start(source, "item")
    (chunk,) = planned(source, relation)
    statement, header_bytes = BORDERS[border]
    before, after = 0, -1
    while before != after:  # the server itself may have written something
        connection.execute(statement.encode())
        before = inserting_at(connection)
        reached = reader.read(relation, chunk).reached
        after = inserting_at(connection)
    assert before % 8192 == header_bytes
    assert reached == before - header_bytes
    deadline = time.monotonic() + WAIT_SECONDS
    passed = 0
    while passed < reached:
        assert time.monotonic() < deadline
        events = source.read(0.1)
        passed = max([passed, *(each.position for each in events if isinstance(each, Watermark))])


def inserting_at(connection: Connection) -> int:
    """Where the next record of the log will be."""
    return parse_lsn(one(connection, "select pg_current_wal_insert_lsn()::text"))
