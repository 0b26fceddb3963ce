"""What changes while existing rows are read, case by case: each is where a load could go wrong."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until
from tests.generators.slow_load import (
    EVERY_LARGE,
    EXPECTED,
    FILL,
    ITEMS,
    LARGE,
    ROWS,
    SLOWLY,
    rows_loaded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

MOST_OUT = 4
"""Chunks that are out at once: one for each of two workers, and two more."""
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
