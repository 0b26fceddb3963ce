"""A failover slot is still there on the standby that was promoted, and goes on where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.errors import RetryError
from connectors.postgres.lsn import parse_lsn
from tests.conftest import OF_THE_MACHINE
from tests.generators.running_daemon import until
from tests.generators.standby import flushed, promote, standby_of, wait_replayed
from tests.integration.postgres.conftest import (
    Connection,
    MakeSource,
    alarms,
    describe,
    read_commits,
    start,
)

if TYPE_CHECKING:
    from cdc_daemon import embedded
    from connectors.postgres import PostgresSource
    from tests.conftest import StartPostgres

SLOT = "survives"
SYNCED = "select synced and not temporary from pg_replication_slots where slot_name = %s"


def test_the_slot_survives_a_failover(
    private_postgres: StartPostgres, make_source: MakeSource, request: pytest.FixtureRequest
) -> None:
    """What was committed and not confirmed before the failover comes from the new primary."""
    if request.config.getoption("--postgres") < 17:
        pytest.skip(f"{OF_THE_MACHINE}PostgreSQL has failover slots from 17 on")
    primary = private_postgres()
    source = make_source(primary.dsn, slot=SLOT, failover=True)
    with psycopg.connect(primary.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, name text)")
        assert "synchronized_standby_slots" in alarms(source, "item")
        with standby_of(primary) as standby:
            start(source, "item")
            follow_until_synced(source, connection, standby)
            source.close()
            place = source.place()
            assert place is not None
            connection.execute("insert into item values (-1)")
            promote(primary, standby)
            follower = make_source(standby.dsn, slot=SLOT, failover=True)
            kept = follower.place()
            assert kept is not None
            assert kept <= place
            follower.start(describe(follower, "item"), kept)
            assert read_commits(follower, 1)[-1].new == [b"-1", b"null"]
            follower.close()


def test_a_promotion_leaves_a_timeline_somewhere(
    private_postgres: StartPostgres, make_source: MakeSource
) -> None:
    """The new primary says where; the old one, which still runs, is not followed any more."""
    primary = private_postgres()
    old = make_source(primary.dsn)
    before = old.identity()
    with standby_of(primary) as standby, psycopg.connect(primary.dsn, autocommit=True) as writing:
        new = make_source(standby.dsn)
        with pytest.raises(RetryError, match="is a standby"):
            new.identity()
        writing.execute("create table item (id int primary key)")
        end = parse_lsn(flushed(writing))
        wait_replayed(standby, flushed(writing))
        with psycopg.connect(standby.dsn, autocommit=True) as copy:
            copy.execute("select pg_promote()")
        writing.execute("insert into item select generate_series(1, 1000)")
        after = new.identity()
        assert after != before
        assert end <= new.shared_until(before) < parse_lsn(flushed(writing))
        assert new.shared_until(before) < new.shared_until(after)
        assert old.shared_until(before) >= parse_lsn(flushed(writing))
        with pytest.raises(RetryError, match="the primary from before a failover"):
            old.shared_until(after)
        for source in (old, new):
            source.close()


def test_shapes_are_those_of_the_server_that_is_followed(
    private_postgres: StartPostgres, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old primary still answers on a connection that was made before the failover."""
    primary = private_postgres()
    with standby_of(primary) as standby, psycopg.connect(primary.dsn, autocommit=True) as writing:
        writing.execute("create table item (id int primary key)")
        wait_replayed(standby, flushed(writing))
        source = make_source(primary.dsn)
        source.identity()
        reader = source.shape_reader()
        (before,) = reader.read(["item"]).values()
        monkeypatch.setattr(reader, "_dsn", standby.dsn)
        assert list(reader.read(["item"]).values()) == [before], "on the connection it has"
        with psycopg.connect(standby.dsn, autocommit=True) as copy:
            copy.execute("select pg_promote()")
            copy.execute("alter table item add more int")
        monkeypatch.setattr(source._server, "dsn", standby.dsn)
        source.identity()
        (after,) = reader.read(["item"]).values()
        assert after.columns.keys() == {"id", "more"}
        monkeypatch.setattr(reader, "_dsn", primary.dsn)
        reader.close()
        with pytest.raises(RetryError, match="a failover is under way"):
            reader.read(["item"])
        source.close()


def follow_until_synced(
    source: PostgresSource, connection: Connection, standby: embedded.PostgresServer
) -> None:
    """The standby keeps a copy once the slot has gone on to what the standby itself still has: no
    transaction comes after the one of which the slot has decoded that it was the last.
    """  # noqa: D205 - one sentence
    connection.execute("insert into item values (0)")
    read_commits(source, 1)
    with psycopg.connect(standby.dsn, autocommit=True) as copy:

        def synced() -> bool:
            connection.execute("select pg_log_standby_snapshot()")
            end = parse_lsn(flushed(connection))
            source.confirm(received=end, durable=end, searchable=end)
            source.read(0.1)
            wait_replayed(standby, flushed(connection))  # a slot that is ahead isn't copied
            copy.execute("select pg_sync_replication_slots()")
            return copy.execute(SYNCED, [SLOT]).fetchone() == (True,)

        until(synced, 120, "the standby has a copy of the slot", poll_seconds=0.2)
