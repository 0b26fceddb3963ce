"""What a chunk's snapshot sees, and when the stream has shown all of it."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.events import Commit, Watermark
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from connectors.postgres.slots import parse_lsn
from tests.integration.postgres.conftest import (
    WAIT_SECONDS,
    Connection,
    describe,
    one,
    read_all,
    start,
    wait_until,
)

if TYPE_CHECKING:
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
    database: Database, source: PostgresSource, reader: PostgresChunkReader
) -> None:
    """Its rows are not in the chunk, and the snapshot says so; once it has committed they are."""
    start(source, "item")
    (relation,) = describe(source, "item")
    with psycopg.connect(database.dsn) as writing:
        writing.execute("savepoint one")
        writing.execute("update item set name = 'changed' where id = 1")
        writing.execute("release one; savepoint two")
        writing.execute("insert into item values (0, 'new')")
        (chunk,) = source.chunks(relation)
        before = reader.read(relation, chunk)
    (commit,) = [event for event in read_all(source, 0.5) if isinstance(event, Commit)]
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
    (chunk,) = source.chunks(relation)
    reader.read(relation, chunk)
    reader.visibility()
    query = (
        "select backend_xmin, backend_xid, state from pg_stat_activity "
        "where application_name = 'cdc-daemon:integration' and datname = current_database()"
    )
    assert set(connection.execute(query.encode()).fetchall()) == {(None, None, "idle")}


def test_a_commit_that_waits_for_a_standby_is_not_seen(
    private_postgres: StartPostgres,
) -> None:
    """The stream has shown it, snapshots don't see it yet, and so they say."""
    server = private_postgres()
    config = PostgresConfig.model_validate({"type": "postgres", "dsn": server.dsn})
    with (
        psycopg.connect(server.dsn, autocommit=True) as connection,
        closing(PostgresSource(config, pipeline="standby")) as source,
        closing(source.chunk_reader()) as reader,
    ):
        connection.execute("set synchronous_commit = local")
        connection.execute("create table item (id int primary key)")
        connection.execute("insert into item values (1)")
        (relation,) = start(source, "item")
        (chunk,) = source.chunks(relation)
        hold_commits(connection, "nobody")
        with psycopg.connect(server.dsn, autocommit=True) as writing:
            thread = threading.Thread(target=writing.execute, args=["insert into item values (2)"])
            thread.start()
            commit = next_commit(source)
            held = reader.read(relation, chunk)
            assert held.rows == [[b"1"]]
            assert not held.seen.sees(commit.xid)
            assert held.reached >= commit.position
            hold_commits(connection, "")
            thread.join()
        free = reader.read(relation, chunk)
        assert sorted(free.rows) == [[b"1"], [b"2"]]
        assert free.seen.sees(commit.xid)


def hold_commits(connection: Connection, standby: str) -> None:
    """Let commits wait for that standby, which isn't there; or let them go."""
    connection.execute(f"alter system set synchronous_standby_names = '{standby}'".encode())
    connection.execute("select pg_reload_conf()")
    show = "select current_setting('synchronous_standby_names')"
    wait_until(lambda: bool(one(connection, show) == standby))


def next_commit(source: PostgresSource) -> Commit:
    """The next one that the stream shows."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        for event in source.read(0.1):
            if isinstance(event, Commit):
                return event
    raise AssertionError("no commit came")


@pytest.mark.parametrize("place", ["page", "segment"])
def test_the_stream_reaches_the_end_of_a_page(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection, place: str
) -> None:
    """Where the log ends at the border of a page or segment, and nothing more is written."""
    (relation,) = start(source, "item")
    (chunk,) = source.chunks(relation)
    if place == "segment":
        insert = parse_lsn(one(connection, "select pg_switch_wal()::text"))
    else:
        connection.execute(FILL_A_PAGE)
    insert = parse_lsn(one(connection, "select pg_current_wal_insert_lsn()::text"))
    assert insert % 8192 == (40 if place == "segment" else 24)
    reached = reader.read(relation, chunk).reached
    assert reached == insert - insert % 8192
    deadline = time.monotonic() + WAIT_SECONDS
    passed = 0
    while passed < reached:
        assert time.monotonic() < deadline
        for event in source.read(0.1):
            if isinstance(event, Watermark | Commit):
                passed = max(passed, event.position)


FILL_A_PAGE = """
do $$ begin
  loop
    perform pg_logical_emit_message(false, 'cdc-daemon', '');
    exit when (pg_current_wal_insert_lsn() - '0/0') % 8192 = 24;
  end loop;
end $$
"""
