"""Rows that are now one thing and now another, while they are polled, loaded and daemons killed."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.budget import seeded
from tests.generators.controlled_daemon import ControlledDaemon
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.read_tables import TableSearch

ROWS = 200
AT_ONCE = 20
AWAY_SECONDS = 0.1
POLL_SECONDS = 0.2
"""Rows are mostly back before the next poll."""
SLOWLY = {"workers": 1, "chunk": "8kB", "rows_per_second": 80}
"""A block of some 40 rows at once, and several polls until the next one."""
REPAIRS = 4
ITEMS: dict[str, Any] = {"items": {"from": "item", "fields": "*", "freshness": "20ms"}}
TABLE = "public.item"
MEANT = "select id::text, jsonb_build_object('id', id, 'n', n) from item"
FOUND = "select _id, _document from read_models.items where _document is not null"


@contextmanager
def flipping(dsn: str, rng: Random) -> Iterator[None]:
    """Rows are changed or gone for a moment, and then as they were."""
    done = threading.Event()

    def flip() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not done.wait(rng.uniform(0, AWAY_SECONDS)):
                some = rng.sample(range(ROWS), AT_ONCE)
                changed, gone = some[::2], some[1::2]
                with connection.transaction():
                    connection.execute("update item set n = n + 1 where id = any(%s)", [changed])
                    connection.execute("delete from item where id = any(%s)", [gone])
                time.sleep(rng.uniform(0, AWAY_SECONDS))
                with connection.transaction():
                    connection.execute("update item set n = n - 1 where id = any(%s)", [changed])
                    connection.execute("insert into item select id, id from unnest(%s) id", [gone])

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(30)


@pytest.mark.parametrize("by", ["comparison", "xmin"])
def test_documents_come_to_be_what_the_rows_are(
    database: Database, start_daemon: StartDaemon, tables: TableSearch, by: str
) -> None:
    """Repairs read between polls what no poll sees; some daemons die before the next poll.

    Rows that are written as they were move among blocks as well: no chunk may meet them, and polls
    go by between two chunks.
    """
    seed, rng = seeded()
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int) with (fillfactor = 20)")
        connection.execute(f"insert into item select i, i from generate_series(0, {ROWS - 1}) i")
        how = {"by": by, "compare": "1ms"} if by == "xmin" else {"by": by}
        polling = {"type": "polling", "interval": f"{POLL_SECONDS}s", "tables": {TABLE: how}}
        daemon = ControlledDaemon(start_daemon(ITEMS, start=False, source=polling, backfill=SLOWLY))
        daemon.load()
        for number in range(REPAIRS):
            with flipping(database.dsn, rng):
                time.sleep(rng.uniform(0, POLL_SECONDS))
                daemon.start(projection="items")
                if number % 2:
                    time.sleep(rng.uniform(0, POLL_SECONDS))
                    daemon.running.kill()
                    daemon.running.start()
                    daemon.running.wait_until("streaming")
                until(lambda: not daemon.loads(), 60, "it is repaired")
            daemon.running.catch_up()
            meant: dict[str, Any] = dict(connection.execute(MEANT).fetchall())
            assert dict(tables.rows(FOUND)) == meant, f"repeat with PROPERTY_SEED={seed}"
