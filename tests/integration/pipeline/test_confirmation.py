"""Nothing is confirmed to the source before it is durable in the sink (promise P1)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import lsn, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import OpenSearchServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

ITEMS = {"items": {"from": "public.item", "fields": "*", "freshness": "50ms"}}
EXPECTED = {"items": "select id::text, to_jsonb(item) from item"}
CONFIRMED = "select confirmed_flush_lsn::text from pg_replication_slots where database = %s"


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database with one table."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute("create table item (id int primary key, n int)")
        yield opened


def confirmed(connection: psycopg.Connection) -> int:
    """The position that the server may forget everything before."""
    row = connection.execute(CONFIRMED, [connection.info.dbname]).fetchone()
    assert row is not None
    return lsn(row[0])


def position_of_insert(connection: psycopg.Connection, key: int) -> int:
    """Insert a row; a position that its commit is above of."""
    with connection.transaction():
        connection.execute("insert into item values (%s, 0)", [key])
        row = connection.execute("select pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    return lsn(row[0])


def checkpoint(rest: Rest, daemon: RunningDaemon) -> int:
    """The position of the checkpoint, as OpenSearch has it."""
    pipeline = daemon.status()["pipeline"]
    found: int = rest.get(f"/cdc-daemon-checkpoints/_doc/{pipeline}")["_source"]["position"]
    return found


def block_writes(rest: Rest, daemon: RunningDaemon, *, blocked: bool) -> None:
    """Make the read model read-only, while everything else can be written."""
    index = daemon.status()["indices"]["items"]
    rest.put(f"/{index}/_settings", {"index.blocks.write": blocked})


def test_commit_in_flight_survives_a_crash(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """A transaction that is being written when the daemon dies is written by the next one."""
    daemon = start_daemon(ITEMS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    block_writes(rest, daemon, blocked=True)
    before = position_of_insert(connection, 1)
    until(lambda: daemon.position("received") > before, 10, "the insert is received")
    stored = checkpoint(rest, daemon)
    # The checkpoint may come close to the commit, and the slot after it.
    deadline = time.monotonic() + 3
    while checkpoint(rest, daemon) == stored and time.monotonic() < deadline:
        time.sleep(0.1)
    assert confirmed(connection) <= checkpoint(rest, daemon)
    daemon.kill()
    daemon.start()
    daemon.wait_until("streaming")
    block_writes(rest, daemon, blocked=False)
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 1
    assert not daemon.events("new_generation")[1:]


def test_confirmation_waits_for_the_sink(
    connection: psycopg.Connection,
    start_daemon: StartDaemon,
    opensearch: OpenSearchServer,
) -> None:
    """While OpenSearch is frozen the slot stays below the commit; then it passes it."""
    daemon = start_daemon(ITEMS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    opensearch.pause()
    before = position_of_insert(connection, 1)
    until(lambda: daemon.position("received") > before, 10, "the insert is received")
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        assert confirmed(connection) <= before
        time.sleep(0.1)
    assert daemon.position("durable") <= before
    opensearch.resume()
    until(lambda: confirmed(connection) > before, 20, "the slot passes the commit")


def test_checkpoint_is_never_behind_the_slot(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """At every moment of a load what the slot has given up is in the checkpoint, and durable."""
    daemon = start_daemon(ITEMS)
    daemon.wait_until("streaming")
    deadline = time.monotonic() + 6
    passed = set()
    key = 0
    while time.monotonic() < deadline:
        for _ in range(20):
            key += 1
            connection.execute("insert into item values (%s, %s)", [key, key])
        # In this order: the slot is looked at first, so the checkpoint may only be newer.
        slot = confirmed(connection)
        assert slot <= checkpoint(rest, daemon)
        assert slot <= daemon.position("durable")
        passed.add(slot)
    assert len(passed) > 3, "the slot advances under load"
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == key
