"""Commits that are in the stream before anybody sees them, and those that a crash takes back."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until
from tests.generators.slow_load import EXPECTED, FILL, ITEMS, ROWS, SLOWLY, rows_loaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import PostgresServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

CRASHES = 3


def test_a_transaction_from_before_the_checkpoint_commits_after_a_restart(
    items: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """What it did lies before the checkpoint, its commit after it."""
    daemon = start_daemon(ITEMS)
    daemon.wait_until("streaming")
    with psycopg.connect(database.dsn) as late:
        late.execute("update item set n = -1 where id = 1")
        late.execute("delete from item where id = 2")
        late.execute(FILL, [7000, 7100])
        items.execute("update item set n = -2 where id = 3")
        began = lsn_of(items)
        until(lambda: daemon.position("checkpoint") > began, 20, "the checkpoint is beyond it")
        daemon.kill()
        daemon.start()
        daemon.wait_until("streaming")
        late.commit()
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == ROWS + 100
    assert len(daemon.events("new_generation")) == 1


def lsn_of(connection: psycopg.Connection) -> int:
    """Where the log ends."""
    row = connection.execute("select pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def held_commit(items: psycopg.Connection, dsn: str, statement: str) -> Iterator[None]:
    """It is in the stream, and waits for a standby that isn't there: no snapshot sees it."""
    items.execute("set synchronous_commit = local")
    hold_commits(items, "nobody")
    with psycopg.connect(dsn, autocommit=True) as writing:
        thread = threading.Thread(target=writing.execute, args=[statement])
        thread.start()
        try:
            yield
        finally:
            hold_commits(items, "")
            thread.join(20)


def hold_commits(items: psycopg.Connection, standby: str) -> None:
    """Let commits wait for that standby, or let them go."""
    items.execute(f"alter system set synchronous_standby_names = '{standby}'".encode())
    items.execute("select pg_reload_conf()")


def wait_for_more(daemon: RunningDaemon) -> None:
    """The load goes on."""
    until(lambda: daemon.status().get("backfill"), 30, "it follows")
    loaded = rows_loaded(daemon)
    until(lambda: rows_loaded(daemon) > loaded + 500, 30, "more rows are loaded")


@pytest.mark.parametrize("kills", [0, 2])
def test_a_commit_that_nobody_sees_yet_while_rows_are_read(
    items: psycopg.Connection,
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    kills: int,
) -> None:
    """It was streamed before chunks that don't see it are read, killed in between or not."""
    statement = "update item set n = -n, id = case when id % 8 = 0 then -id else id end"
    daemon = start_daemon(ITEMS, backfill=SLOWLY)
    until(lambda: rows_loaded(daemon) > 500, 30, "some rows are loaded")
    with held_commit(items, database.dsn, f"{statement} where id % 2 = 0"):
        held = "select 1 from pg_stat_activity where wait_event = 'SyncRep'"
        until(lambda: items.execute(held).fetchone(), 20, "the commit waits")
        for _ in range(kills):
            wait_for_more(daemon)
            daemon.kill()
            daemon.start()
        wait_for_more(daemon)
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == ROWS
    assert len(daemon.events("new_generation")) == 1


@pytest.mark.usefixtures("items")
def test_postgres_crashes_with_commits_that_chunks_have_seen(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    postgres_server: PostgresServer,
) -> None:
    """Asynchronous commits are lost in the crash: no document shows what chunks read of them."""
    # So many may wait that there is always one more to be read, for seconds.
    load = {"chunk": "20kB", "rows_per_second": 200, "workers": 8}
    daemon = start_daemon(ITEMS, backfill=load)
    until(lambda: rows_loaded(daemon), 30, "some rows are loaded")
    lost = 0
    numbers = count(1)
    for _ in range(CRASHES):
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            kill = partial(killed_after, postgres_server, connection)
            number = until(lambda: kill(next(numbers)), 60, "a commit is seen")  # noqa: B023 - at once
        postgres_server.start()
        with psycopg.connect(database.dsn) as connection:
            query = "select count(*) from item where n = %s"
            lost += connection.execute(query, [-number]).fetchone() == (0,)
        daemon.wait_until("loading", 60)
    daemon.wait_until("streaming", 60)
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == ROWS
    assert lost


def killed_after(server: PostgresServer, connection: psycopg.Connection, number: int) -> int:
    """Kill it after a commit that a chunk has seen: the commit's number, 0 where none has."""
    with unwritten_log(connection):
        if not is_seen_unsafely(connection, number):
            return 0
        server.kill()
    return number


@contextmanager
def unwritten_log(connection: psycopg.Connection) -> Iterator[None]:
    """Nobody writes the log while chunks wait for it: not the server, nor the daemon's clock."""
    pids = until(lambda: frozen_log_writers(connection), 30, "nobody writes the log")
    try:
        yield
    finally:
        signal_all(pids, signal.SIGCONT)  # where the server still runs


def frozen_log_writers(connection: psycopg.Connection) -> list[int]:
    """Both of them; none where the clock's was not there, or at work at that very moment."""
    query = (
        "select pid from pg_stat_activity where backend_type = 'walwriter' or state = 'idle'"
        " and application_name like 'cdc-daemon:%'"
        " and query ~ 'clock_timestamp|safe_wal_size|synchronous_standby_names|"
        "pg_logical_emit_message' order by 1"
    )
    pids = [pid for (pid,) in connection.execute(query)]
    signal_all(pids, signal.SIGSTOP)
    if len(pids) == 2 and [pid for (pid,) in connection.execute(query)] == pids:
        return pids
    signal_all(pids, signal.SIGCONT)
    return []


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def is_seen_unsafely(connection: psycopg.Connection, number: int) -> bool:
    """Commit some rows of each page, and don't wait for the log; whether a chunk has seen that.

    None does where as many chunks wait for the log already as may.
    """
    read = (
        "select 1 from pg_stat_activity where application_name like 'cdc-daemon:%%'"
        " and query like '%%attname%%not attisdropped%%' and query_start > %s"
    )
    connection.execute("set synchronous_commit = off")
    connection.execute("update item set n = -%s where id %% 50 = %s", [number, number % 50])
    moment = connection.execute("select clock_timestamp() + interval '100 ms'").fetchone()
    with suppress(AssertionError):
        until(lambda: connection.execute(read, moment).fetchone(), 1, "a chunk has seen it")
        return True
    return False
