"""Signals: SIGTERM stops in order, a second one at once; SIGHUP re-reads the log level."""

from __future__ import annotations

import json
import signal
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
    from tests.integration.pipeline.conftest import StartDaemon

ITEMS = {"items": {"from": "item", "fields": "*"}}
EXPECTED = {"items": "select id::text, to_jsonb(item) from item"}
INSERT = "insert into item select i, repeat('x', 200) from generate_series(%s::int, %s::int) i"


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database with one table."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute("create table item (id int primary key, t text)")
        yield opened


def test_sigterm_writes_and_confirms_what_was_read(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """After a stop in order nothing comes again, and the slot is where the stop left it."""
    daemon = start_daemon(ITEMS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    with connection.transaction():
        connection.execute(INSERT, [1, 20_000])
        row = connection.execute("select pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    until(lambda: daemon.position("projected") > lsn(row[0]), 20, "all is projected")
    began = time.monotonic()
    assert daemon.terminate() == 0
    assert time.monotonic() - began < 25
    assert_equal(database.dsn, rest, EXPECTED)
    (stopped,) = daemon.events("stopped")
    assert stopped["drained"] is True
    slot = connection.execute(
        "select confirmed_flush_lsn > %s::pg_lsn from pg_replication_slots"
        " where database = current_database()",
        [row[0]],
    ).fetchone()
    assert slot == (True,)
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert daemon.total("cdc_changes_received_total") == 0
    assert assert_equal(database.dsn, rest, EXPECTED) == 20_000


def test_second_sigterm_stops_at_once(
    connection: psycopg.Connection,
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    opensearch: OpenSearchServer,
) -> None:
    """A stop waits for a frozen OpenSearch; a second SIGTERM ends that, and loses nothing."""
    daemon = start_daemon(ITEMS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    opensearch.pause()
    connection.execute(INSERT, [1, 1000])
    until(lambda: daemon.status()["queue_bytes"] > 0, 10, "something waits")
    daemon.signal(signal.SIGTERM)
    until(lambda: daemon.status()["state"] == "stopping", 10, "it is stopping")
    time.sleep(2)
    assert daemon.is_running, "it waits for OpenSearch"
    began = time.monotonic()
    daemon.terminate(10)
    assert time.monotonic() - began < 5
    opensearch.resume()
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 1000


def test_sigterm_ends_at_its_deadline(
    connection: psycopg.Connection,
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    opensearch: OpenSearchServer,
) -> None:
    """A stop that can't finish within shutdown.deadline ends, says so, and loses nothing."""
    daemon = start_daemon(ITEMS, shutdown={"deadline": "3s"})
    daemon.wait_until("streaming")
    daemon.catch_up()
    opensearch.pause()
    connection.execute(INSERT, [1, 1000])
    until(lambda: daemon.status()["queue_bytes"] > 0, 10, "something waits")
    began = time.monotonic()
    daemon.terminate(15)
    assert 2.5 < time.monotonic() - began < 10
    (stopped,) = daemon.events("stopped")
    assert stopped["drained"] is False
    opensearch.resume()
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 1000


def test_sigterm_while_loading(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """A stop ends a first load soon; the next start goes on with it."""
    connection.execute(INSERT, [1, 200_000])
    daemon = start_daemon(ITEMS, backfill={"chunk": "200kB"})
    daemon.wait_until("loading")
    until(lambda: daemon.total("cdc_load_rows_total") > 1000, 20, "rows are loaded")
    began = time.monotonic()
    assert daemon.terminate() == 0
    assert time.monotonic() - began < 10
    assert not daemon.events("published")
    connection.execute("delete from item where id > 10")
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert daemon.events("loading")[1]["rows_before"] > 0
    assert len(daemon.events("new_generation")) == 1
    assert assert_equal(database.dsn, rest, EXPECTED) == 10


def test_sighup_reads_the_log_level_again(
    connection: psycopg.Connection, start_daemon: StartDaemon
) -> None:
    """A new log level takes effect without a restart; a broken file changes nothing."""
    assert connection.autocommit
    daemon = start_daemon(ITEMS, log={"level": "error", "format": "json"})
    daemon.wait_until("streaming")
    assert not daemon.events("streaming")
    configuration = json.loads(daemon.file.read_text())
    configuration["log"]["level"] = "info"
    daemon.file.write_text(json.dumps(configuration))
    daemon.signal(signal.SIGHUP)
    until(lambda: daemon.events("log_level_read"), 5, "it says its new level")
    daemon.file.write_text(json.dumps({**configuration, "nonsense": 1}))
    daemon.signal(signal.SIGHUP)
    until(lambda: daemon.events("configuration_not_read"), 5, "it says what is wrong")
    assert daemon.status()["state"] == "streaming"
    daemon.terminate()
    assert daemon.events("stopped"), "info is logged"


def test_sigterm_while_another_daemon_holds_the_slot(
    connection: psycopg.Connection, start_daemon: StartDaemon
) -> None:
    """A daemon that waits for its slot has nothing to write, and stops soon."""
    assert connection.autocommit
    first = start_daemon(ITEMS)
    first.wait_until("streaming")
    waiting = start_daemon(ITEMS)
    until(lambda: waiting.events("waiting_for_slot"), 20, "it waits for the slot")
    began = time.monotonic()
    assert waiting.terminate(20) == 0
    assert time.monotonic() - began < 8
    assert first.status()["state"] == "streaming"
