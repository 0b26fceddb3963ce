"""One transaction that changes more pages than LMDB keeps in memory: it writes some before its end.

That is where it may say that a transaction is full (`MDB_TXN_FULL`), which no larger map mends.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from cdc_daemon.events import Position
from cdc_daemon.state import Deaf, Home, Staged, Wanted, environment
from cdc_daemon.state.rows import unpack
from tests.generators.states import BY_CITY, HOTEL, count_in, here, insert, kill

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from cdc_daemon.state import Batch, Store

MOST_CHANGED_PAGES = 131_072
"""`MDB_IDL_UM_SIZE`, as LMDB is built everywhere."""
ROWS = 180_000
CITIES = 7
NAME = b'"%b"' % (b"h" * 1_800)
"""Two such rows fill a page, and where they come in no order it isn't filled."""
STRIDE = 104_729
"""Prime to the number of rows: each comes once, and seldom into the page of the one before."""
FIRST_MAP_BYTES = 400_000_000
PAGE_BYTES = 4096
MEMORY_BYTES = 64_000_000


def spread(number: int) -> int:
    """Which row comes as that one."""
    return number * STRIDE % ROWS


def transaction(store: Store, folder: Path) -> Staged:
    """Every row; most of it is on disk."""
    one = Staged(store.tables, folder, MEMORY_BYTES)
    for number in map(spread, range(ROWS)):
        one.put(insert(b"%d" % number, NAME, b'"city %d"' % (number % CITIES)))
    return one


def wrong_rows(store: Store) -> int:
    """How many aren't as they were inserted; all are there."""
    hotel = store.tables[HOTEL]

    def read(batch: Batch) -> int:
        with batch.txn.cursor(hotel.database) as cursor:
            rows = [unpack(row) for row in cursor.iternext(keys=False, values=True)]
        assert len(rows) == ROWS
        return sum(row[1:] != [NAME, b'"city %d"' % (int(row[0]) % CITIES)] for row in rows)  # type: ignore[arg-type]  # bytes

    return store.read(read)


def test_more_pages_are_changed_than_lmdb_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is there, rows and entries, after the map has grown beside that."""
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", FIRST_MAP_BYTES)
    home = Home(tmp_path)
    store = home.create(here())
    store.fit(Wanted((HOTEL,), (BY_CITY,)))
    one = transaction(store, tmp_path)
    attempts = []

    def work(batch: Batch) -> None:
        attempts.append(batch)
        batch.apply(one, Position(1), Deaf())

    store.write(work)
    one.close()
    assert len(attempts) == 2
    assert store._env.used_bytes // PAGE_BYTES > MOST_CHANGED_PAGES, "each page is a changed one"
    assert wrong_rows(store) == 0
    assert count_in(store, b'"city 3"') == len(range(3, ROWS, CITIES))
    kill(store)
    home.close()
    shutil.rmtree(tmp_path)  # half a gigabyte, of which pytest would keep three
