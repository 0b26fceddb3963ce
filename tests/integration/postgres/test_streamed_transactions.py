"""Large and odd transactions as the server sends them: in parts, prepared, altered, empty."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.events import (
    Change,
    Commit,
    Event,
    Position,
    StreamAbort,
    StreamStart,
    StreamStop,
    Watermark,
)
from tests.integration.postgres.conftest import one, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.postgres import PostgresSource
    from tests.conftest import Database, StartPostgres
    from tests.integration.postgres.conftest import Connection, MakeSource

ROWS = 2000
READ_SECONDS = 30
INSERT = f"insert into item select i, repeat('x', 100) from generate_series(1, {ROWS}) i"
GONE = 10_000
"""Keys from here on are of what is rolled back."""
SMALL = "logical_decoding_work_mem"


@pytest.fixture
def streaming(database: Database, connection: Connection, source: PostgresSource) -> PostgresSource:
    """A source that follows `item`, of a server that streams transactions beyond 64 kB."""
    connection.execute(f"alter database {database.name} set {SMALL} = '64kB'".encode())
    connection.execute("create table item (id int primary key, t text)")
    start(source, "public.item")
    return source


def read_until(source: PostgresSource, found: Callable[[Event], bool]) -> list[Event]:
    """Everything up to the first event that is looked for."""
    events: list[Event] = []
    deadline = time.monotonic() + READ_SECONDS
    while not any(map(found, events)):
        assert time.monotonic() < deadline, events[-5:]
        events.extend(source.read(0.2))
    return events


def is_commit(event: Event) -> bool:
    """Whether it is one."""
    return isinstance(event, Commit)


def numbers(events: list[Event]) -> list[int]:
    """Of the transactions that have ended."""
    return [event.xid for event in events if isinstance(event, Commit)]


def rows(events: list[Event]) -> int:
    """How many changes there are."""
    return sum(isinstance(event, Change) for event in events)


def key(change: Change) -> int:
    """Of the row that was inserted."""
    assert change.new is not None
    return int(change.new[0])  # type: ignore[arg-type]  # bytes


def end_of_log(connection: Connection) -> Position:
    """Have everything until now written to the log: a rollback doesn't ask for it."""
    emit = "select pg_logical_emit_message(true, 'test', '') - '0/0'::pg_lsn"
    return Position(int(one(connection, emit)))


def current_xid(connection: Connection) -> int:
    """The number of the transaction that is open."""
    return int(one(connection, "select pg_current_xact_id()::text"))


def test_a_large_transaction_comes_before_its_commit(
    database: Database, connection: Connection, streaming: PostgresSource
) -> None:
    """Its number is the one that its commit has; what others commit meanwhile comes first."""
    with psycopg.connect(database.dsn) as writer:
        writer.execute(INSERT.encode())
        xid = current_xid(writer)
        begun = read_until(streaming, lambda event: isinstance(event, StreamStop))
        assert StreamStart(xid, xid) in begun
        with connection.transaction():
            connection.execute("insert into item values (0, 'small')")
            other = current_xid(connection)
        begun += read_until(streaming, is_commit)
        assert numbers(begun) == [other]
        position = end_of_log(connection)
        writer.commit()
    ended = read_until(streaming, is_commit)
    assert numbers(ended) == [xid]
    assert rows(begun) + rows(ended) == ROWS + 1
    [commit] = [event for event in ended if isinstance(event, Commit)]
    assert commit.position > position


def test_positions_go_on_while_a_large_transaction_is_open(
    database: Database, connection: Connection, streaming: PostgresSource
) -> None:
    """A watermark beyond its beginning may be confirmed: it comes again, whole, after a crash."""
    with psycopg.connect(database.dsn) as writer:
        writer.execute(INSERT.encode())
        read_until(streaming, lambda event: isinstance(event, StreamStop))
        reached = end_of_log(connection)
        read_until(
            streaming, lambda event: isinstance(event, Watermark) and event.position >= reached
        )
        streaming.confirm(received=reached, durable=reached, searchable=reached)
        one_lsn = "select confirmed_flush_lsn - '0/0'::pg_lsn from pg_replication_slots"
        where = f" where slot_name = '{database.name}'"
        deadline = time.monotonic() + READ_SECONDS
        while int(one(connection, one_lsn + where)) < reached:
            assert time.monotonic() < deadline
            streaming.read(0.05)
        streaming.start(list(streaming._relations.values()), reached)
        writer.commit()
    assert rows(read_until(streaming, is_commit)) == ROWS


def test_what_is_rolled_back_is_named(
    database: Database, connection: Connection, streaming: PostgresSource
) -> None:
    """A savepoint, and then the whole; nothing of it is left when another one commits."""
    with psycopg.connect(database.dsn) as writer:
        writer.execute("insert into item values (0, 'before')")
        with writer.transaction(force_rollback=True):
            writer.execute(INSERT.encode())
        end_of_log(connection)
        [aborted] = [
            event
            for event in read_until(streaming, lambda event: isinstance(event, StreamAbort))
            if isinstance(event, StreamAbort)
        ]
        xid = current_xid(writer)
        assert aborted.xid == xid
        assert aborted.subxid != xid
        writer.rollback()
    end_of_log(connection)
    read_until(streaming, lambda event: event == StreamAbort(xid, xid))
    connection.execute("insert into item values (1, 'after')")
    assert rows(read_until(streaming, is_commit)) == 1


def test_prepared_transactions_end_when_they_are_committed(
    private_postgres: StartPostgres, make_source: MakeSource
) -> None:
    """Not when they are prepared; large or small, and nothing is left of one rolled back."""
    server = private_postgres(settings={"max_prepared_transactions": 5, SMALL: "64kB"})
    source = make_source(server.dsn, slot="prepared")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, t text)")
        start(source, "public.item")
        for name, first, count in (("large", 1, ROWS), ("small", 5000, 1), ("gone", GONE, ROWS)):
            connection.execute(
                f"begin; insert into item select i, repeat('x', 100) from"
                f" generate_series({first}, {first + count - 1}) i;"
                f" prepare transaction '{name}'".encode()
            )
        connection.execute("insert into item values (0, 'other')")
        before = read_until(source, is_commit)
        assert len(numbers(before)) == 1
        assert {type(event) for event in before} >= {StreamStart, StreamStop}
        connection.execute("rollback prepared 'gone'")
        connection.execute("commit prepared 'small'")
        connection.execute("commit prepared 'large'")
        after = read_until(source, is_commit)
        while len(numbers(after)) < 2:
            after += read_until(source, is_commit)
    started = [event.xid for event in before + after if isinstance(event, StreamStart)]
    aborted = [event for event in after if isinstance(event, StreamAbort)]
    assert [event.xid for event in aborted] == [event.subxid for event in aborted]
    assert {numbers(after)[1], aborted[0].xid} == set(started)
    kept = [event for event in before + after if isinstance(event, Change) and key(event) < GONE]
    assert len(kept) == ROWS + 2
    source.give_up_place()


def test_a_table_that_is_altered_is_a_misfit_to_the_transaction_that_does_it(
    database: Database, connection: Connection, streaming: PostgresSource
) -> None:
    """The transaction that alters it may be rolled back; then all goes on as it was."""
    with psycopg.connect(database.dsn) as writer:
        alter_and_fill(writer)
        writer.rollback()
        end_of_log(connection)
        read_until(streaming, lambda event: isinstance(event, StreamAbort))
        connection.execute("insert into item values (0, 'unaltered')")
        assert rows(read_until(streaming, is_commit)) == 1
        alter_and_fill(writer)
        events = read_until(streaming, lambda event: isinstance(event, StreamStop))
        writer.commit()
        events += read_until(streaming, is_commit)
        changes = [each for each in events if isinstance(each, Change)]
        assert len(changes) == ROWS
        assert all("its column id has another type" in each.relation.misfit for each in changes)


def alter_and_fill(writer: Connection) -> None:
    """As some migrations do, in a savepoint of its own."""
    writer.execute("savepoint migration")
    writer.execute("alter table item alter id type bigint")
    writer.execute(INSERT.encode())
    writer.execute("release savepoint migration")


def test_logical_messages_are_not_sent_and_positions_pass_them(
    connection: Connection, streaming: PostgresSource
) -> None:
    """Transactional or not, large, or in a transaction that is streamed."""
    emit = (
        b"select pg_logical_emit_message(transactional, 'app', repeat('x', 200000))"
        b" from (values (true), (false)) as x (transactional)"
    )
    with connection.transaction():
        connection.execute(emit)
        connection.execute(INSERT.encode())
        connection.execute(emit)
    assert rows(read_until(streaming, is_commit)) == ROWS
    connection.execute(emit)
    end = end_of_log(connection)
    passed = read_until(
        streaming, lambda event: isinstance(event, Watermark) and event.position >= end
    )
    assert rows(passed) == 0
