"""What a chunk's snapshot sees, and what may happen between the plan and the reading of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.errors import RetryError, RewrittenError
from cdc_daemon.events import Commit
from connectors.postgres import chunkreader
from tests.integration.postgres.conftest import (
    Connection,
    describe,
    read_all,
    read_chunks,
    start,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.postgres import PostgresSource
    from connectors.postgres.chunkreader import PostgresChunkReader
    from tests.conftest import Database

WAIT_SECONDS = 20


@pytest.fixture(autouse=True)
def item(connection: Connection) -> None:
    """A table of many blocks."""
    connection.execute("create table item (id int primary key, name text)")
    connection.execute(
        "insert into item select i, repeat('x', 200) from generate_series(1, 2000) i"
    )


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def one(connection: Connection, query: str) -> Any:
    """The one value that it gives."""
    [(value,)] = connection.execute(query)
    return value


def waits_for_a_lock(connection: Connection) -> bool:
    """Whether the reader does."""
    return bool(
        one(
            connection,
            "select exists (select from pg_stat_activity where application_name like 'cdc-daemon%'"
            " and datname = current_database() and wait_event_type = 'Lock')",
        )
    )


REWRITES = {
    "truncate": "truncate item",
    "vacuum full": "vacuum full item",
    "cluster": "cluster item using item_pkey",
    "type": "alter table item alter id type bigint",
    "made anew": "drop table item; create table item (id int primary key, name text);"
    "insert into item values (1)",
    "dropped": "drop table item",
    "renamed": "alter table item rename to other",
    "swapped": "alter table item rename to other; create table item (id int, name text);"
    "insert into item values (1)",
    "moved": "create schema other; alter table item set schema other",
}


@pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES)
def test_a_table_that_was_rewritten_must_be_planned_anew(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection, rewrite: str
) -> None:
    """Whatever gives it another file, or its name to another table, between plan and reading."""
    (relation,) = describe(source, "item")
    (chunk,) = source.chunks(relation)
    assert len(reader.read(relation, chunk).rows) == 2000
    connection.execute(rewrite)
    with pytest.raises(RewrittenError, match=r'"public"."item"'):
        reader.read(relation, chunk)


def test_a_rewritten_table_is_read_by_its_new_plan(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """The connection stays usable, and the new plan fits."""
    (relation,) = describe(source, "item")
    (chunk,) = source.chunks(relation)
    connection.execute("vacuum full item")
    with pytest.raises(RewrittenError):
        reader.read(relation, chunk)
    assert len(read_chunks(reader, relation, source.chunks(relation))) == 2000


def test_a_truncate_that_the_lock_waited_for_is_not_taken_for_an_empty_table(
    database: Database,
    source: PostgresSource,
    reader: PostgresChunkReader,
    connection: Connection,
) -> None:
    """It commits while the lock waits: a snapshot from before it would read no rows."""
    (relation,) = describe(source, "item")
    (chunk,) = source.chunks(relation)
    outcome: list[Exception] = []

    def read() -> None:
        try:
            reader.read(relation, chunk)
        except RewrittenError as error:
            outcome.append(error)

    thread = threading.Thread(target=read)
    with psycopg.connect(database.dsn) as truncating:
        truncating.execute("truncate item")
        truncating.execute("insert into item values (1, 'new')")
        thread.start()
        wait_until(lambda: waits_for_a_lock(connection))
    thread.join()
    assert len(outcome) == 1
    got = reader.read(relation, source.chunks(relation)[0])
    assert got.rows == [[b"1", b'"new"']]


def test_the_snapshot_is_taken_when_the_lock_is_had(
    database: Database,
    source: PostgresSource,
    reader: PostgresChunkReader,
    connection: Connection,
) -> None:
    """What commits while the lock waits is read, and seen."""
    (relation,) = describe(source, "item")
    (chunk,) = source.chunks(relation)
    got = []
    thread = threading.Thread(target=lambda: got.append(reader.read(relation, chunk)))
    with psycopg.connect(database.dsn) as locking:
        locking.execute("lock table item in access exclusive mode")
        locking.execute("delete from item where id > 1")
        xid = one(locking, "select pg_current_xact_id()::text::bigint")
        thread.start()
        wait_until(lambda: waits_for_a_lock(connection))
    thread.join()
    assert [row[0] for row in got[0].rows] == [b"1"]
    assert got[0].seen.sees(xid)


def test_a_locked_table_is_read_later(
    database: Database, source: PostgresSource, reader: PostgresChunkReader
) -> None:
    """The lock isn't waited for beyond its time; the message finds who holds it."""
    (relation,) = describe(source, "item")
    (chunk,) = source.chunks(relation)
    with psycopg.connect(database.dsn) as locking:
        locking.execute("lock table item in access exclusive mode")
        with pytest.raises(RetryError, match="is locked") as caught:
            reader.read(relation, chunk)
        holder = str(caught.value).partition("Who holds it: ")[2]
        [(pid, query)] = locking.execute(holder.encode())
        assert (pid, query) == (locking.info.backend_pid, holder)
        with pytest.raises(RetryError, match="is locked"):
            source.chunks(relation)
    assert len(reader.read(relation, chunk).rows) == 2000


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


def test_a_chunk_that_is_too_large_ends_early(
    source: PostgresSource,
    reader: PostgresChunkReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Right behind its last row, where the rest goes on; the connection stays usable."""
    monkeypatch.setattr(chunkreader, "READ_BYTES", 10_000)
    (relation,) = describe(source, "item")
    (chunk,) = source.chunks(relation)
    first = reader.read(relation, chunk)
    assert first.rest is not None
    assert (first.chunk.first, first.chunk.end) == (chunk.first, first.rest.first)
    assert first.rest.end == chunk.end
    assert 10_000 <= first.size_bytes < 10_300
    again = reader.read(relation, first.chunk)
    assert (again.rows, again.size_bytes) == (first.rows, first.size_bytes)
    ids = [int(row[0]) for row in read_chunks(reader, relation, [chunk])]  # type: ignore[arg-type]
    assert ids == list(range(1, 2001))
