"""A standby as the source: what its snapshots see, what its primary does, what is refused."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from pydantic import ValidationError

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.events import Change, Commit, Position
from connectors.postgres import cancellations
from connectors.postgres.history import too_old
from connectors.postgres.replayed import Replayed, replayed, wait_replayed
from tests.conftest import fresh_database
from tests.generators.standby import Pair, pair
from tests.integration.postgres.conftest import (
    Connection,
    MakeSource,
    alarms,
    describe,
    run_advice,
    start,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import LiteralString

    from connectors.postgres import PostgresSource
    from tests.conftest import Database

__all__ = ["pair"]

SLOT = "of_standby"


@pytest.fixture
def upstream(pair: Pair) -> Iterator[Database]:
    """A database with a table, on both."""
    with fresh_database(pair.primary) as database:
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute("create table item (id int primary key, name text)")
        pair.wait_replayed()
        yield database


@pytest.fixture
def primary(upstream: Database) -> Iterator[Connection]:
    """A connection that writes."""
    with psycopg.connect(upstream.dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def standby(pair: Pair, upstream: Database) -> Iterator[Connection]:
    """A connection to the same database of the standby."""
    with psycopg.connect(pair.standby.dsn_of(upstream.name), autocommit=True) as connection:
        yield connection


@pytest.fixture
def source(
    pair: Pair,
    upstream: Database,
    make_source: MakeSource,
) -> Iterator[PostgresSource]:
    """The standby."""
    made = make_source(slot=SLOT, **pair.source(upstream.name))
    yield made
    made.close()
    pair.drop_slots()


def test_who_is_running_is_not_seen(
    pair: Pair,
    upstream: Database,
    primary: Connection,
    standby: Connection,
    source: PostgresSource,
) -> None:
    """Though the standby's own snapshot lists nobody, and a later transaction has ended."""
    start(source, "item")
    with psycopg.connect(upstream.dsn) as open_one:
        open_one.execute("insert into item values (1)")
        primary.execute("insert into item values (2)")
        pair.wait_replayed()
        [(listed,)] = standby.execute("select pg_current_snapshot()::text")
        assert listed.endswith(":"), "as if nobody were running"
        with closing(source.chunk_reader()) as reader:
            (relation,) = describe(source, "item")
            (chunk,) = reader.plan(relation)
            read = reader.read(relation, chunk)
    pair.wait_replayed()
    commits = committed(source, 2)
    assert [row[0] for row in read.rows] == [b"2"]
    assert read.seen.sees(commits[b"2"].xid)
    assert not read.seen.sees(commits[b"1"].xid)
    assert commits[b"2"].position <= read.reached < commits[b"1"].position


def test_a_slow_condition_that_is_cancelled_each_time_is_told(
    pair: Pair,
    upstream: Database,
    primary: Connection,
    standby: Connection,
    source: PostgresSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is replayed waits for it only so long; it is tried again, and not for ever."""
    monkeypatch.setattr(cancellations, "MOST_CANCELLED", 2)
    primary.execute("insert into item select i, '' from generate_series(1, 100) i")
    pair.wait_replayed()
    start(source, "item")
    with (
        late_by(standby, "2s"),
        closing(source.chunk_reader()) as reader,
    ):
        (relation,) = describe(source, "item")
        (chunk,) = reader.plan(relation)
        for raises in (RetryError, SourceError):
            with locking_soon(upstream), pytest.raises(raises, match=r"recovery|in a row"):
                reader.read(relation, chunk, "pg_sleep(0.2) is not null")
            pair.wait_replayed()
        assert len(reader.read(relation, chunk, "id = 7").rows) == 1


@contextmanager
def late_by(standby: Connection, most: LiteralString) -> Iterator[None]:
    """So long what is replayed waits for who reads."""
    standby.execute(f"alter system set max_standby_streaming_delay = '{most}'")
    standby.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        standby.execute("alter system reset max_standby_streaming_delay")
        standby.execute("select pg_reload_conf()")


@contextmanager
def locking_soon(database: Database) -> Iterator[None]:
    """Statements that need a table for themselves come to the standby while it is read."""
    ended = threading.Event()

    def lock() -> None:
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            while not ended.wait(0.5):
                connection.execute("begin; lock table item; select txid_current(); commit")

    thread = threading.Thread(target=lock, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)


def test_a_standby_that_has_gone_back_is_not_read(standby: Connection) -> None:
    """What was seen of it is forgotten already; and a primary is none at all."""
    seen = Replayed()
    position = seen.before(standby)
    seen.note(Position(position - 1))
    assert seen.before(standby) >= position
    seen.note(Position(position + (1 << 40)))
    with pytest.raises(RetryError, match="was seen already"):
        seen.before(standby)


def test_only_a_standby_is_asked_how_far_it_is(primary: Connection) -> None:
    """One that was promoted is read by the numbers of transactions."""
    with pytest.raises(RetryError, match="promoted"):
        replayed(primary)


def test_what_does_not_come_is_not_waited_for_ever(
    standby: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replay may be paused."""
    monkeypatch.setattr("connectors.postgres.replayed.PATIENCE_SECONDS", 0.1)
    with pytest.raises(RetryError, match="pg_is_wal_replay_paused"):
        wait_replayed(standby, Position(replayed(standby) + (1 << 40)))


def test_another_cluster_is_no_primary_of_it(
    pair: Pair,
    upstream: Database,
    database: Database,
    make_source: MakeSource,
) -> None:
    """Neither is the standby itself; check says the same."""
    dsn = pair.standby.dsn_of(upstream.name)
    stranger = make_source(slot=SLOT, dsn=dsn, primary_dsn=database.dsn)
    with pytest.raises(SourceError, match="another database cluster"):
        stranger.prepare(describe(stranger, "item"))
    assert "another database cluster" in alarms(stranger, "item")["primary"]
    itself = make_source(slot=SLOT, dsn=dsn, primary_dsn=dsn)
    with pytest.raises(RetryError, match="is a standby"):
        itself.prepare(describe(itself, "item"))
    for each in (stranger, itself):
        each.close()


def test_commits_can_not_wait_for_it(source: PostgresSource) -> None:
    """Strong consistency is refused before the stream begins."""
    relations = describe(source, "item")
    source.prepare(relations)
    place = source.create_place()
    with pytest.raises(SourceError, match=r"consistency\.strong"):
        source.start(relations, place, silence_seconds=5)


def test_its_slot_is_not_copied_to_others(make_source: MakeSource) -> None:
    """That is a mistake in the configuration."""
    with pytest.raises(ValidationError, match="exclude each other"):
        make_source(dsn="host=a", primary_dsn="host=b", failover=True)


def test_the_sql_for_the_primary_is_printed(
    pair: Pair,
    upstream: Database,
    primary: Connection,
    make_source: MakeSource,
) -> None:
    """Where the publication isn't the daemon's to make."""
    where = pair.source(upstream.name)
    source = make_source(slot=SLOT, publication={"manage": False}, **where)
    relations = describe(source, "item")
    with pytest.raises(SourceError, match="create publication") as refused:
        source.prepare(relations)
    primary.execute(str(refused.value).rpartition("\n")[2].encode())
    pair.wait_replayed()
    assert source.prepare(relations)
    source.close()


def test_check_says_what_would_lose_the_slot(standby: Connection, source: PostgresSource) -> None:
    """And what it says mends it."""
    assert not {"standby", "primary", "hot_standby_feedback"} & alarms(source, "item").keys()
    standby.execute("alter system set hot_standby_feedback = off")
    standby.execute("select pg_reload_conf()")
    wait_until(lambda: "hot_standby_feedback" in alarms(source, "item"))
    run_advice(standby, alarms(source, "item")["hot_standby_feedback"])
    wait_until(lambda: "hot_standby_feedback" not in alarms(source, "item"))


def test_a_standby_without_a_primary_is_told(
    pair: Pair,
    upstream: Database,
    make_source: MakeSource,
) -> None:
    """By check, before a daemon waits for its promotion."""
    source = make_source(slot=SLOT, dsn=pair.standby.dsn_of(upstream.name))
    with pytest.raises(RetryError, match=r"source\.primary_dsn"):
        source.identity()
    source.close()


def test_it_decodes_from_16_on(standby: Connection) -> None:
    """Older ones are refused by name."""
    assert too_old(standby) is None


def committed(source: PostgresSource, count: int) -> dict[object, Commit]:
    """So many commits of one row each, by its key."""
    found: dict[object, Commit] = {}
    keys: list[object] = []

    def read() -> bool:
        for event in source.read(0.2):
            if isinstance(event, Change) and event.new is not None:
                keys.append(event.new[0])
            elif isinstance(event, Commit):
                found[keys[-1]] = event
        return len(found) >= count

    wait_until(read)
    return found
