"""Memory is bounded whatever the size of a transaction; one that is rolled back leaves nothing."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Self

import psycopg

from tests.generators.oracle import assert_equal

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = int(os.environ.get("TRANSACTION_ROWS") or 300_000)
PART_ROWS = 200_000
ROWS_PER_SECOND = 1500
"""No slower than this, on a machine that others use as well."""
MOST_MEGABYTES = 200
EXPECTED = {"items": "select id::text, to_jsonb(item) from item"}


class Memory(threading.Thread):
    """Watches the daemon's anonymous memory."""

    def __init__(self, daemon: RunningDaemon) -> None:
        super().__init__(daemon=True)
        self._daemon = daemon
        self._stop_asked = threading.Event()
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join(10)

    def run(self) -> None:
        """Look ten times a second."""
        while not self._stop_asked.wait(0.1):
            self.peak_bytes = max(self.peak_bytes, self._daemon.anonymous_bytes())


def test_large_transaction_is_folded_on_disk(
    database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """300,000 rows in one commit, some updated and deleted by it, arrive in bounded memory."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int, t text)")
        daemon = start_daemon(
            {"items": {"from": "item", "fields": "*"}},
            memory={"transaction": "8MB", "queue": "8MB", "batch": "2MB"},
        )
        daemon.wait_until("streaming")
        began = time.monotonic()
        with Memory(daemon) as memory:
            with connection.transaction():
                connection.execute(
                    "insert into item select i, i, repeat('x', 50) from generate_series(1, %s) i",
                    [ROWS],
                )
                connection.execute("update item set n = n + 1 where id % 3 = 0")
                connection.execute("delete from item where id % 10 = 0")
            committed = time.monotonic()
            daemon.catch_up(30 + ROWS / ROWS_PER_SECOND)
        ended = time.monotonic()
    spilled = daemon.total("cdc_transaction_spilled_bytes_total")
    print(  # noqa: T201 - the figures
        f"peak {memory.peak_bytes / 1e6:.0f} MB, spilled {spilled / 1e6:.0f} MB, "
        f"{committed - began:.1f} s until the commit, {ended - committed:.1f} s after it"
    )
    assert spilled > 8_000_000
    assert memory.peak_bytes < MOST_MEGABYTES * 1_000_000
    assert list(daemon.spill.iterdir()) == []
    assert compared_in_parts(database.dsn, rest) == ROWS * 9 // 10
    assert rest.get("/items/_count")["count"] == ROWS * 9 // 10


def compared_in_parts(dsn: str, rest: Rest) -> int:
    """As `assert_equal`, in the memory of some rows."""
    compared = 0
    for first in range(1, ROWS + 1, PART_ROWS):
        last = first + PART_ROWS - 1
        query = {"items": f"{EXPECTED['items']} where id between {first} and {last}"}
        within = {"range": {"id": {"gte": first, "lte": last}}}
        compared += assert_equal(dsn, rest, query, within=within)
    return compared


def test_rollback_leaves_nothing(database: Database, start_daemon: StartDaemon, rest: Rest) -> None:
    """A large transaction that is rolled back, wholly or in part, leaves no document."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int)")
        daemon = start_daemon(
            {"items": {"from": "item", "fields": "*"}}, memory={"transaction": "1MB"}
        )
        daemon.wait_until("streaming")
        insert = "insert into item select i, 0 from generate_series(%s::int, %s::int) i"
        with connection.transaction(force_rollback=True):
            connection.execute(insert, [1, 50_000])
        with connection.transaction():
            connection.execute(insert, [1, 10])
            with connection.transaction(force_rollback=True):
                connection.execute(insert, [100, 50_000])
                connection.execute("update item set n = 1")
        daemon.catch_up(60)
    assert assert_equal(database.dsn, rest, EXPECTED) == 10
    assert daemon.total("cdc_documents_written_total") == 10
    assert not daemon.spill.exists() or list(daemon.spill.iterdir()) == []
