"""What changes while existing rows are read, case by case: each is where a load could go wrong."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import PostgresServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = 6_000
EVERY_LARGE = 20
SLOWLY: dict[str, Any] = {"chunk": "50kB", "rows_per_second": 1_200}
MOST_OUT = 4
"""Chunks that are out at once: one for each of two workers, and two more."""
LARGE = "(select string_agg(md5(i::text || x), '') from generate_series(1, 200) x)"
ITEMS: dict[str, Any] = {
    "items": {
        "from": "item",
        "fields": {"id": None, "n": None, "note": None, "body": None},
        "freshness": "20ms",
    }
}
EXPECTED = {
    "items": "select id::text, jsonb_build_object('id', id, 'n', n, 'note', note, 'body', body)"
    " from item"
}
CREATE = "create table item (id int primary key, n int, note text, body text)"
FILL = (
    f"insert into item select i, i, repeat('x', 60), case when i % {EVERY_LARGE} = 0 then {LARGE}"
    " end from generate_series(%s::int, %s::int) i"
).replace(" % ", " %% ")
CRASHES = 3
FILL_REGION = (
    f"insert into item select i, i, repeat('x', 60), case when i % {EVERY_LARGE} = 0 then {LARGE}"
    " end, %s::text from generate_series(1, 2000) i"
).replace(" % ", " %% ")
CHANGES = {
    "updated": ["update item set n = -n where id % 2 = 0"],
    "updated without their large values": [f"update item set n = -n where id % {EVERY_LARGE} = 0"],
    "deleted": ["delete from item where id % 3 = 0"],
    "deleted and inserted again": [
        "delete from item where id % 3 = 0",
        "insert into item select i, -i, 'again' from generate_series(3, 6000, 3) i",
    ],
    "deleted and inserted in one transaction": [
        "begin",
        "delete from item where id % 3 = 0",
        "insert into item select i, -i, 'again' from generate_series(3, 6000, 3) i",
        "commit",
    ],
    "inserted again and deleted": [
        "delete from item where id % 3 = 0",
        "insert into item select i, -i, 'again' from generate_series(3, 6000, 3) i",
        "delete from item where id % 6 = 0",
    ],
    "given other keys": ["update item set id = id + 10000 where id % 4 = 0"],
    "swapped": [
        "begin",
        "update item set id = -id where id % 4 < 2",
        "update item set id = 1 - id - 2 * (-id % 2) where id < 0",
        "commit",
    ],
    "truncated": ["begin", "truncate item", "insert into item values (1, -1, 'new')", "commit"],
    "truncated, which is taken back": ["begin", "truncate item", "rollback"],
    "made anew by VACUUM FULL": [
        "delete from item where id % 3 = 0",
        "vacuum full item",
        "update item set n = -n where id % 4 = 0",
    ],
    "rewritten by ALTER TABLE": [
        "alter table item add column at timestamptz default clock_timestamp()",
        "update item set n = -n where id % 4 = 0",
    ],
}


def rows_loaded(daemon: RunningDaemon) -> int:
    """How many rows of unfinished loads are durable."""
    loads = daemon.status().get("backfill", {}).get("loads", [])
    return sum(int(load["rows"]) for load in loads)


@pytest.fixture
def items(database: Database) -> Iterator[psycopg.Connection]:
    """A table of many chunks, with some large values."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(CREATE)
        connection.execute("alter table item alter body set storage external")
        connection.execute(FILL, [1, ROWS])
        yield connection


@contextmanager
def stalled_stream(connection: psycopg.Connection) -> Iterator[None]:
    """The server sends nothing: every chunk that is read has to wait."""
    sender = (
        "select active_pid from pg_replication_slots where active and database = current_database()"
    )
    (pid,) = until(lambda: connection.execute(sender).fetchone(), 20, "it streams")
    os.kill(pid, signal.SIGSTOP)
    try:
        # Chunks that are read from here on wait for this, which doesn't come.
        connection.execute("select pg_logical_emit_message(true, 'held', '')")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def chunks_wait(daemon: RunningDaemon) -> bool:
    """Whether as many chunks as may be out are out: they are read, and wait."""
    return daemon.metrics().get("cdc_backfill_chunks") == MOST_OUT


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_rows_change_while_chunks_wait(
    items: psycopg.Connection,
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    changes: list[str],
) -> None:
    """Rows that are durable, rows that were read and wait, and rows that are still to be read."""
    daemon = start_daemon(ITEMS, backfill=SLOWLY)
    until(lambda: rows_loaded(daemon) > 500, 30, "some rows are loaded")
    with stalled_stream(items):
        until(lambda: chunks_wait(daemon), 20, "chunks wait")
        assert rows_loaded(daemon) < ROWS / 2
        for statement in changes:
            items.execute(statement.encode())
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert_equal(database.dsn, rest, EXPECTED)


def test_rows_change_before_they_are_read(
    items: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Between the beginning of the slot and the chunk: chunk and stream have both the same."""
    daemon = start_daemon(ITEMS, backfill={"chunk": "50kB", "rows_per_second": 500})
    daemon.wait_until("loading")
    for first in (7000, 7100, 7200):
        items.execute("update item set n = n + 1 where id > 3000")
        items.execute("delete from item where id = (select max(id) from item)")
        items.execute("update item set id = id + 10000 where id = 5000 or id = 15000")
        items.execute(FILL, [first, first + 10])
        items.execute("delete from item where id > %s and id < 7500", [first + 5])
        items.execute("update item set id = -id where id = %s", [first])
    assert rows_loaded(daemon) < ROWS / 2
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert_equal(database.dsn, rest, EXPECTED)


def block_of(connection: psycopg.Connection, key: int) -> int:
    """Where the row is."""
    query = "select (ctid::text::point)[0]::int from item where id = %s"
    (block,) = connection.execute(query, [key]).fetchone() or (-1,)
    return int(block)


def test_a_row_goes_from_an_unread_page_to_a_read_one_without_its_large_value(
    items: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """It is in no chunk, and the stream leaves the value out: it is read by its key."""
    items.execute("delete from item where id <= 300")
    items.execute("vacuum item")
    daemon = start_daemon(ITEMS, backfill=SLOWLY)
    until(lambda: rows_loaded(daemon) > 500, 30, "the first pages are read")
    before = block_of(items, 5600)
    with psycopg.connect(database.dsn, autocommit=True) as another:  # knows of no free page yet
        another.execute("update item set n = -n where id between 5500 and 5600 and id % 20 = 0")
    assert block_of(items, 5600) < 5 < before
    assert rows_loaded(daemon) < ROWS / 2
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == ROWS - 300


def test_rows_move_between_partitions_while_they_are_read(
    database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """From one that is read to one that isn't, and the other way, with and without large values."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(
            "create table item (id int, n int, note text, body text, region text,"
            " primary key (id, region)) partition by list (region)"
        )
        for region in "abc":
            connection.execute(
                f"create table item_{region} partition of item for values in ('{region}')"
            )
            connection.execute(f"alter table item_{region} alter body set storage external")
            connection.execute(FILL_REGION, [region])
        daemon = start_daemon(ITEMS, backfill=SLOWLY)
        until(lambda: rows_loaded(daemon) > 500, 30, "some rows are loaded")
        with stalled_stream(connection):
            until(lambda: chunks_wait(daemon), 20, "chunks wait")
            for old, new, rest_of in (("a", "c", 1), ("c", "b", 2), ("b", "a", 3)):
                connection.execute(
                    "update item set region = %s, n = -n, id = id + 10000"
                    " where region = %s and id %% 4 = %s",
                    [new, old, rest_of],
                )
                connection.execute(
                    "update item set region = %s, id = id + 20000"
                    " where region = %s and id %% 20 = 0",
                    [new, old],
                )
        daemon.wait_until("streaming")
        daemon.catch_up()
    query = EXPECTED["items"].replace("id::text", "id || '|' || region")
    assert assert_equal(database.dsn, rest, {"items": query}) == ROWS


def test_an_idle_transaction_elsewhere_stalls_no_load(
    items: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Open from the beginning of the load to its end, with a number, in another database."""
    daemon = start_daemon(ITEMS, backfill=SLOWLY)
    daemon.wait_until("loading")
    with psycopg.connect(database.dsn, dbname="postgres") as idle:
        idle.execute("select pg_current_xact_id()")
        items.execute("update item set n = -n where id % 2 = 0")
        daemon.wait_until("streaming", 30)
        daemon.catch_up()
        assert assert_equal(database.dsn, rest, EXPECTED) == ROWS


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
        " and query ~ 'clock_timestamp|safe_wal_size|pg_logical_emit_message' order by 1"
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
        " and query like '%%pg_current_wal_insert_lsn%%filenode%%' and query_start > %s"
    )
    connection.execute("set synchronous_commit = off")
    connection.execute("update item set n = -%s where id %% 50 = %s", [number, number % 50])
    moment = connection.execute("select clock_timestamp() + interval '100 ms'").fetchone()
    with suppress(AssertionError):
        until(lambda: connection.execute(read, moment).fetchone(), 1, "a chunk has seen it")
        return True
    return False
