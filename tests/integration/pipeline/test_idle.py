"""An idle database: the slot advances with other tables' traffic, and the delay stays right."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.generators.running_daemon import lsn, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

LARGEST_DELAY_SECONDS = 1.5
MEGABYTE = 1_000_000


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database with a table that is mapped and one that isn't."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute("create table item (id int primary key)")
        opened.execute("create table other (t text)")
        yield opened


@pytest.fixture
def daemon(connection: psycopg.Connection, start_daemon: StartDaemon) -> RunningDaemon:
    """A daemon that follows only one of the tables."""
    assert connection.autocommit
    started = start_daemon({"items": {"from": "item", "fields": "*"}})
    started.wait_until("streaming")
    until(lambda: started.delay() < LARGEST_DELAY_SECONDS, 10, "the delay is known and small")
    return started


def slot(connection: psycopg.Connection) -> int:
    """The position that the slot keeps everything after."""
    row = connection.execute(
        "select confirmed_flush_lsn::text from pg_replication_slots"
        " where database = current_database()"
    ).fetchone()
    assert row is not None
    return lsn(row[0])


def head(connection: psycopg.Connection) -> int:
    """Where the log ends."""
    row = connection.execute("select pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    return lsn(row[0])


@pytest.mark.parametrize("where", ["another table", "another database"])
def test_slot_advances_while_only_others_write(
    connection: psycopg.Connection,
    daemon: RunningDaemon,
    database: Database,
    where: str,
) -> None:
    """Traffic that nobody maps is forgotten by the slot within 15 s, and is no delay."""
    began, delays = slot(connection), []
    dsn = database.dsn if where == "another table" else database.server.dsn
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("create table if not exists other (t text)")
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            other.execute("insert into other select repeat('x', 500) from generate_series(1, 500)")
            delays.append(daemon.delay())
            time.sleep(0.2)
        end = head(connection)
        other.execute("drop table other")
    assert end - began > 2 * MEGABYTE
    until(lambda: slot(connection) > end - MEGABYTE, 15, "the slot advances")
    assert slot(connection) > began
    assert max(delays) < LARGEST_DELAY_SECONDS
    until(
        lambda: daemon.total("cdc_slot_unconfirmed_wal_bytes") < MEGABYTE, 15, "little is retained"
    )


def test_delay_stays_right_while_nothing_happens(daemon: RunningDaemon) -> None:
    """With no traffic at all the delay stays small and the watermark goes on."""
    delays, watermarks = [], []
    watermark = 'cdc_watermark_timestamp_seconds{projection="",stage="searchable"}'
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        metrics = daemon.metrics()
        delays.append(metrics['cdc_replication_delay_seconds{projection="",stage="searchable"}'])
        watermarks.append(time.time() - metrics[watermark])
        time.sleep(0.25)
    assert max(delays) < LARGEST_DELAY_SECONDS
    assert max(watermarks) < 1 + LARGEST_DELAY_SECONDS
