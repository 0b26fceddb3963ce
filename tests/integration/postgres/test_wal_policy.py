"""How much of the server's log the slot may keep, and slots that standbys keep a copy of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import structlog

from cdc_daemon.errors import RetentionLimitError, SlotInUseError, SourceError
from cdc_daemon.ports import RetentionBounds
from tests.conftest import OF_THE_MACHINE
from tests.integration.postgres.conftest import (
    Connection,
    MakeSource,
    describe,
    read_commits,
    start,
    untouched,
)

if TYPE_CHECKING:
    from tests.conftest import Database, StartPostgres


@pytest.fixture
def item(connection: Connection) -> None:
    """An ordinary table."""
    connection.execute("create table item (id int primary key, name text)")


def write_log(connection: Connection, megabytes: int) -> None:
    """Let the server's log grow by at least so much, and be written."""
    for _ in range(megabytes):
        connection.execute("select pg_logical_emit_message(true, 'test', repeat('x', 1000000))")


@pytest.mark.usefixtures("item")
def test_the_limit_gives_the_slot_up(connection: Connection, make_source: MakeSource) -> None:
    """Below it the clock says how much is kept; from there on the slot is to be dropped."""
    source = make_source(wal={"limit": "5MB", "at_limit": "drop"})
    start(source, "item")
    clock = source.clock()
    health = clock.slot_health()
    assert health is not None
    assert health.bounds == RetentionBounds(None, None, 5_000_000)
    write_log(connection, 6)
    with pytest.raises(RetentionLimitError, match=r"5,000,000 are the limit.*loaded anew"):
        clock.slot_health()
    source.give_up_place()
    assert source.place() is None
    assert clock.slot_health() is None
    clock.close()
    start(source, "item")
    assert source.place() is not None


@pytest.mark.usefixtures("item")
def test_a_limit_that_only_warns_keeps_the_slot(
    connection: Connection, make_source: MakeSource
) -> None:
    """The steps are told, and nothing ends."""
    source = make_source(wal={"warn": "1MB", "critical": "2MB", "limit": "3MB"})
    start(source, "item")
    write_log(connection, 4)
    clock = source.clock()
    health = clock.slot_health()
    assert health is not None
    assert health.retained_bytes > 3_000_000
    assert health.bounds == RetentionBounds(1_000_000, 2_000_000, 3_000_000)
    clock.close()


@pytest.mark.usefixtures("item")
def test_a_slot_that_someone_else_reads_is_not_dropped(make_source: MakeSource) -> None:
    """Giving up waits `slot_wait`, and then names the process."""
    first, second = make_source(), make_source()
    start(first, "item")
    with pytest.raises(SlotInUseError, match=r"pid \d+"):
        second.give_up_place()
    assert second.place() is not None


@pytest.mark.usefixtures("item")
def test_a_server_that_keeps_without_bound_is_said_at_the_start(
    connection: Connection, make_source: MakeSource
) -> None:
    """With the SQL that sets a bound; not where the configuration has a limit."""
    assert warnings(make_source(), connection) == [
        "alter system set max_slot_wal_keep_size = '50GB'; select pg_reload_conf()"
    ]
    assert warnings(make_source(wal={"limit": "50GB"}), connection) == []


def test_a_server_with_a_bound_is_fine(
    private_postgres: StartPostgres, make_source: MakeSource
) -> None:
    """Nothing is said."""
    server = private_postgres(settings={"max_slot_wal_keep_size": "1GB"})
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, name text)")
        assert warnings(make_source(server.dsn), connection) == []


def warnings(source: Any, connection: Connection) -> list[str]:
    """The SQL of what `prepare` says about the bound."""
    assert connection.autocommit
    with structlog.testing.capture_logs() as events:
        source.prepare(describe(source, "item"))
    return [event["sql"] for event in events if event["event"] == "wal_unbounded"]


@pytest.mark.usefixtures("item")
def test_failover_needs_a_server_that_has_it(
    connection: Connection, database: Database, make_source: MakeSource
) -> None:
    """From 17 on the slot is one that standbys copy; before, it is refused and nothing is made."""
    source = make_source(failover=True)
    if database.server.version < 17:
        with (
            untouched(connection),
            pytest.raises(SourceError, match=r"no failover slots: they came with 17"),
        ):
            source.prepare(describe(source, "item"))
        return
    start(source, "item")
    assert failover(connection, database) == [(True,)]
    connection.execute("insert into item values (1)")
    assert len(read_commits(source, 1)) == 1


@pytest.mark.usefixtures("item")
def test_a_slot_becomes_a_failover_slot_at_the_next_start(
    connection: Connection, database: Database, make_source: MakeSource
) -> None:
    """Nothing has to be loaded anew for it; and what a person set by hand stays."""
    if database.server.version < 17:
        pytest.skip(f"{OF_THE_MACHINE}PostgreSQL has failover slots from 17 on")
    plain = make_source()
    start(plain, "item")
    plain.close()
    place = plain.place()
    plain.close()
    for wanted in (True, False):
        source = make_source(failover=wanted)
        source.prepare(describe(source, "item"))
        assert failover(connection, database) == [(True,)]
        assert source.place() == place
        source.close()


def failover(connection: Connection, database: Database) -> list[Any]:
    """What the server says of our slot."""
    return connection.execute(
        "select failover from pg_replication_slots where slot_name = %s", [database.name]
    ).fetchall()
