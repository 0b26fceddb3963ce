"""What happens to slot and stream while servers, connections and tables change."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import structlog
from psycopg import sql

from cdc_daemon.errors import RetryError, SourceError, StartAgainError
from cdc_daemon.events import ChangeKind, Commit, Position, Watermark
from cdc_daemon.ports import TableRequest
from connectors.postgres import openwaits, replication
from connectors.postgres import source as postgres_source
from tests.generators.existing_rows import existing_rows
from tests.generators.running_daemon import until
from tests.integration.postgres.conftest import (
    Connection,
    MakeRole,
    MakeSource,
    describe,
    read_all,
    read_commits,
    start,
    with_settings,
)

if TYPE_CHECKING:
    from connectors.postgres import PostgresSource
    from tests.conftest import Database, StartPostgres


def confirm(source: PostgresSource, position: int) -> None:
    """Everything up to there is durable and searchable."""
    at = Position(position)
    source.confirm(received=at, durable=at, searchable=at)


@pytest.mark.usefixtures("item")
def test_confirming_keeps_the_connection(
    database: Database, make_source: MakeSource, connection: Connection
) -> None:
    """While nobody reads, `confirm` alone keeps the server from ending the stream."""
    source = make_source(with_settings(database.dsn, options="-c wal_sender_timeout=2s"))
    start(source, "item")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        confirm(source, 1)
        time.sleep(0.25)
    connection.execute("insert into item values (1)")
    assert len(read_commits(source, 1)) == 1


@pytest.mark.usefixtures("item")
def test_reading_keeps_the_connection(
    database: Database, make_source: MakeSource, connection: Connection
) -> None:
    """While nothing is durable, reading alone does so too, in an open transaction as well."""
    source = make_source(with_settings(database.dsn, options="-c wal_sender_timeout=2s"))
    start(source, "item")
    read_all(source, 5)
    connection.execute("insert into item values (1)")
    assert len(read_commits(source, 1)) == 1


@pytest.mark.usefixtures("item")
def test_the_slot_follows_what_is_durable(
    source: PostgresSource, connection: Connection, database: Database
) -> None:
    """Write, flush and apply are reported apart; only flush moves the slot."""
    start(source, "item")
    connection.execute("insert into item values (1)")
    events = read_all(source, 0.5)
    (commit,) = [event for event in events if isinstance(event, Commit)]
    before = source.place()
    received, durable, searchable = (Position(commit.position - n) for n in (0, 1, 2))
    source.confirm(received=received, durable=durable, searchable=searchable)
    read_all(source, 0.5)
    query = (
        "select write_lsn - '0/0', flush_lsn - '0/0', replay_lsn - '0/0' "
        "from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid "
        "where slot_name = %s"
    )
    row = connection.execute(query, [database.name]).fetchone()
    assert row is not None
    assert tuple(map(int, row)) == (received, durable, searchable)
    assert source.place() == durable != before


@pytest.mark.usefixtures("item")
def test_a_wait_for_open_transactions_is_announced(
    connection: Connection,
    database: Database,
    source: PostgresSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server waits in silence; the log says for whom."""
    monkeypatch.setattr(openwaits, "PATIENCE_SECONDS", 0.5)
    relations = describe(source, "item")
    source.prepare(relations)
    with psycopg.connect(database.dsn, application_name="nightly job") as busy:
        busy.execute("insert into item values (1)")
        timer = threading.Timer(2, busy.commit)
        timer.start()
        with structlog.testing.capture_logs() as logs:
            place = source.create_place()
        timer.join()
        pid = busy.info.backend_pid
    waits = [entry for entry in logs if entry["event"] == "waiting_for_transactions"]
    assert len(waits) == 1
    (session,) = waits[0]["sessions"]
    assert (session["pid"], session["application"]) == (pid, "nightly job")
    assert session["database"] == database.name
    rows = existing_rows(source, relations[0])
    assert rows == [[b"1", b"null", b"null"]], "the transaction that it waited for is visible"
    source.start(relations, place)
    connection.execute("insert into item values (2)")
    assert [change.new for change in read_commits(source, 1)] == [[b"2", b"null", b"null"]]


def test_a_lost_slot_is_no_place(private_postgres: StartPostgres, make_source: MakeSource) -> None:
    """The server removed its log: `place` and `start` say so, and a new place mends it."""
    server = private_postgres(settings={"max_slot_wal_keep_size": "1MB"})
    source = make_source(server.dsn, slot="lost_one")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, name text)")
        relations = start(source, "item")
        place = source.place()
        assert place is not None
        source.close()
        for _ in range(4):
            connection.execute("select pg_switch_wal()")
            connection.execute("insert into item select coalesce(max(id), 0) + 1 from item")
            connection.execute("checkpoint")
        assert source.place() is None
        with pytest.raises(StartAgainError, match="is lost"):
            source.start(relations, place)
        start(source, "item")
        connection.execute("insert into item values (100)")
        assert len(read_commits(source, 1)) == 1
    source.close()


def test_a_slot_that_somebody_moved_is_left_to_a_start(
    connection: Connection, source: PostgresSource
) -> None:
    """The server would begin behind what was moved over, without a word."""
    connection.execute("create table item (id int primary key, name text)")
    relations = start(source, "item")
    place = source.place()
    assert place is not None
    source.close()
    connection.execute("insert into item values (1)")
    free = "select from pg_replication_slots where database = current_database() and not active"
    until(lambda: connection.execute(free).fetchone() is not None, 10, "the slot is free")
    connection.execute(
        "select pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) "
        "from pg_replication_slots where database = current_database()"
    )
    with pytest.raises(StartAgainError, match="somebody else has moved it"):
        source.start(relations, place)


def test_a_server_that_restarts_is_followed_again(
    private_postgres: StartPostgres, make_source: MakeSource
) -> None:
    """Stopped in order, then killed: RetryError each time, and nothing is lost."""
    server = private_postgres()
    source = make_source(server.dsn, slot="restarts")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, name text)")
    relations = start(source, "item")
    after = source.place()
    assert after is not None
    for number, stop in enumerate((server.stop, server.kill)):
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("insert into item values (%s)", [number])
        read_until(source, number)
        stopper = threading.Thread(target=stop)
        stopper.start()
        began = time.monotonic()
        with pytest.raises(RetryError):
            follow_and_confirm(source, seconds=20)
        stopper.join()
        assert time.monotonic() - began < 8, "the stop took long"
        with pytest.raises(RetryError):
            source.start(relations, after)
        server.start()
        kept = source.place()
        assert kept is not None
        restart(source, relations, kept)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("insert into item values (2)")
    read_until(source, 2)
    source.close()


def read_until(source: PostgresSource, number: int) -> None:
    """Read until that row came; earlier ones may come again: slots are saved at checkpoints."""
    seen: list[Any] = []
    while not seen or seen[-1] != [str(number).encode(), b"null"]:
        seen += [change.new for change in read_commits(source, 1)]
    assert seen == [[str(each).encode(), b"null"] for each in range(number + 1)][-len(seen) :]


def follow_and_confirm(source: PostgresSource, seconds: float) -> None:
    """What the daemon does with a sink that keeps up, until an error comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for event in source.read(0.2):
            if isinstance(event, Commit | Watermark):
                confirm(source, event.position)


def restart(source: PostgresSource, relations: Any, after: Position) -> None:
    """Start, as often as it takes."""
    deadline = time.monotonic() + 20
    while True:
        try:
            source.start(relations, after)
        except RetryError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def test_a_stuck_sink_does_not_hold_the_server_up(
    private_postgres: StartPostgres,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that shuts down waits for what is durable; after a while we leave and let it."""
    monkeypatch.setattr(replication, "SHUTDOWN_PATIENCE_SECONDS", 2.0)
    server = private_postgres()
    source = make_source(server.dsn, slot="stuck")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key)")
        start(source, "item")
        connection.execute("insert into item values (1)")
    read_commits(source, 1)
    confirm(source, 1)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    reads = 0
    try:
        with pytest.raises(RetryError, match="shutting down"):  # noqa: PT012 - as the daemon does
            while reads < 10_000:
                source.read(0.2)
                confirm(source, 1)
                reads += 1
    finally:
        source.close()
        stopper.join()
    assert reads < 300, "questions and answers raced"


@pytest.mark.usefixtures("item")
def test_a_publication_that_was_dropped_stops(
    source: PostgresSource, connection: Connection
) -> None:
    """Making it again doesn't help, and the message says what does."""
    relations = start(source, "item")
    place = source.place()
    assert place is not None
    connection.execute("drop publication pub")
    connection.execute("insert into item values (1)")
    with pytest.raises(SourceError, match="pg_drop_replication_slot"):
        read_all(source, 10)
    source.prepare(relations)
    assert source.place() is None, "it was made again, so what came between is lost to the slot"
    start(source, "item")
    connection.execute("insert into item values (2)")
    assert [change.new for change in read_commits(source, 1)] == [[b"2", b"null", b"null"]]


@pytest.mark.usefixtures("item")
def test_tables_that_are_not_mapped_are_skipped(
    source: PostgresSource, connection: Connection
) -> None:
    """Someone else may have put them into the publication."""
    connection.execute("create table other (id int primary key, at timestamptz default now())")
    (item,) = start(source, "item")
    connection.execute("alter publication pub add table other")
    with connection.transaction():
        connection.execute("insert into other values (1); update other set id = 2")
        connection.execute("insert into item values (1); truncate item, other; delete from other")
    changes = read_commits(source, 1)
    assert [(change.relation, change.kind) for change in changes] == [
        (item, ChangeKind.INSERT),
        (item, ChangeKind.TRUNCATE),
    ]


@pytest.mark.usefixtures("item")
def test_other_databases_and_idleness_move_the_watermark(
    source: PostgresSource, connection: Connection
) -> None:
    """Traffic that doesn't concern us must not keep the server's log."""
    connection.execute("create table other (id int primary key)")
    start(source, "item")
    before = source.place()
    connection.execute("insert into other select generate_series(1, 10000)")
    row = connection.execute("select pg_current_wal_lsn() - '0/0'").fetchone()
    assert row is not None
    deadline = time.monotonic() + 20
    seen = 0
    while seen < int(row[0]):
        assert time.monotonic() < deadline
        for event in source.read(0.2):
            if isinstance(event, Commit | Watermark):
                seen = max(seen, event.position)
        confirm(source, seen)
    read_all(source, 0.3)
    place = source.place()
    assert place is not None
    assert before is not None
    assert place >= int(row[0]) > before


@pytest.mark.usefixtures("item")
def test_the_slot_goes_before_the_publication_is_mended(
    make_source: MakeSource, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that ends in between must load anew: what the publication lacked is in no slot."""
    first = make_source()
    relations = first.describe([TableRequest("item")])
    first.prepare(relations)
    first.create_place()
    assert first.place() is not None
    assert first.keeps_place(relations)
    connection.execute("alter publication pub set (publish = 'insert')")
    assert not first.keeps_place(relations)
    second = make_source()
    monkeypatch.setattr(postgres_source, "publish", _is_cut_off)
    with pytest.raises(RetryError):
        second.prepare(second.describe([TableRequest("item")]))
    assert second.place() is None
    assert not second.keeps_place(relations)


def _is_cut_off(*_: object, **__: object) -> None:
    raise RetryError("the server has gone")


@pytest.mark.usefixtures("item")
def test_the_slot_stays_where_the_publication_can_not_be_mended(
    make_source: MakeSource, make_role: MakeRole, connection: Connection
) -> None:
    """With the mapping that it was made for it can be gone on with."""
    first = make_source()
    relations = first.describe([TableRequest("item")])
    first.prepare(relations)
    first.create_place()
    before = first.place()
    connection.execute("alter publication pub set (publish = 'insert')")
    name, dsn = make_role()
    connection.execute(sql.SQL("grant select on item to {}").format(sql.Identifier(name)))
    second = make_source(dsn)
    with pytest.raises(SourceError, match="alter publication"):
        second.prepare(second.describe([TableRequest("item")]))
    assert second.place() == before is not None
    options = "select pubinsert, pubupdate from pg_publication where pubname = 'pub'"
    assert connection.execute(options).fetchall() == [(True, False)]
