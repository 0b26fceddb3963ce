"""What may happen to a table between the plan and the reading of it."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from cdc_daemon.errors import RetryError, RewrittenError
from connectors.postgres import chunkreader
from tests.generators.existing_rows import planned, rows_of
from tests.integration.postgres.conftest import (
    Connection,
    MakeRole,
    MakeSource,
    describe,
    one,
    wait_until,
    waits_for_a_lock,
)

if TYPE_CHECKING:
    from connectors.postgres import PostgresSource
    from connectors.postgres.chunkreader import PostgresChunkReader
    from tests.conftest import Database


@pytest.fixture(autouse=True)
def item(connection: Connection) -> None:
    """A table of many blocks."""
    connection.execute("create table item (id int primary key, name text)")
    connection.execute(
        "insert into item select i, repeat('x', 200) from generate_series(1, 2000) i"
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
    (chunk,) = planned(source, relation)
    assert len(reader.read(relation, chunk).rows) == 2000
    connection.execute(rewrite)
    with pytest.raises(RewrittenError, match=r'"public"."item"'):
        reader.read(relation, chunk)


def test_a_rewritten_table_is_read_by_its_new_plan(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """The connection stays usable, and the new plan fits."""
    (relation,) = describe(source, "item")
    (chunk,) = planned(source, relation)
    connection.execute("vacuum full item")
    with pytest.raises(RewrittenError):
        reader.read(relation, chunk)
    assert len(rows_of(reader, relation, planned(source, relation))) == 2000


def test_a_truncate_that_the_lock_waited_for_is_not_taken_for_an_empty_table(
    database: Database,
    source: PostgresSource,
    reader: PostgresChunkReader,
    connection: Connection,
) -> None:
    """It commits while the lock waits: a snapshot from before it would read no rows."""
    (relation,) = describe(source, "item")
    (chunk,) = planned(source, relation)
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
    got = reader.read(relation, planned(source, relation)[0])
    assert got.rows == [[b"1", b'"new"']]


def test_the_snapshot_is_taken_when_the_lock_is_had(
    database: Database,
    source: PostgresSource,
    reader: PostgresChunkReader,
    connection: Connection,
) -> None:
    """What commits while the lock waits is read, and seen."""
    (relation,) = describe(source, "item")
    (chunk,) = planned(source, relation)
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


def test_nothing_is_rewritten_between_snapshot_and_rows(
    database: Database,
    source: PostgresSource,
    reader: PostgresChunkReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the snapshot on the table is locked against it; other writers aren't kept waiting."""
    (relation,) = describe(source, "item")
    (chunk,) = planned(source, relation)
    copy = chunkreader._copy

    def meanwhile(*arguments: Any) -> Any:
        with psycopg.connect(database.dsn, autocommit=True) as writing:
            writing.execute("set lock_timeout = '50ms'")
            for rewrite in ("truncate item", "vacuum full item"):
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    writing.execute(rewrite.encode())
            writing.execute("delete from item where id = 1")
            writing.execute("create index on item (name)")
        return copy(*arguments)

    monkeypatch.setattr(chunkreader, "_copy", meanwhile)
    assert len(reader.read(relation, chunk).rows) == 2000


def test_a_locked_table_is_read_later(
    database: Database, source: PostgresSource, reader: PostgresChunkReader
) -> None:
    """The lock isn't waited for beyond its time; the message finds who holds it."""
    (relation,) = describe(source, "item")
    (chunk,) = planned(source, relation)
    with psycopg.connect(database.dsn) as locking:
        locking.execute("lock table item in access exclusive mode")
        with pytest.raises(RetryError, match="is locked") as caught:
            reader.read(relation, chunk)
        holder = str(caught.value).partition("Who holds it: ")[2]
        [(pid, query)] = locking.execute(holder.encode())
        assert (pid, query) == (locking.info.backend_pid, holder)
        with pytest.raises(RetryError, match="is locked"):
            planned(source, relation)
    assert len(reader.read(relation, chunk).rows) == 2000


def test_a_truncate_between_snapshot_and_lock_is_found(
    database: Database,
    connection: Connection,
    make_source: MakeSource,
    make_role: MakeRole,
) -> None:
    """A role that may not lock the table waits in COPY, with a snapshot that sees no row after."""
    name, dsn = make_role()
    grant = "grant select (id, name, ctid) on item to {}"
    connection.execute(sql.SQL(grant).format(sql.Identifier(name)))
    source = make_source(dsn)
    (relation,) = describe(source, "item")
    (chunk,) = planned(source, relation)
    outcome: list[Exception] = []

    def read() -> None:
        with closing(source.chunk_reader()) as reader:
            try:
                reader.read(relation, chunk)
            except RewrittenError as error:
                outcome.append(error)

    thread = threading.Thread(target=read)
    with psycopg.connect(database.dsn) as truncating:
        truncating.execute("lock table item in access exclusive mode")
        thread.start()
        wait_until(lambda: waits_for_a_lock(connection))
        truncating.execute("truncate item")
    thread.join()
    assert len(outcome) == 1
