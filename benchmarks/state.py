"""The state step by step: microseconds a row, beside bare LMDB puts of the same rows; no server."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine import describe

from cdc_daemon.events import Change, ChangeKind, Column, ColumnType, Position, Relation
from cdc_daemon.state import (
    AggregateWanted,
    Deaf,
    Here,
    Home,
    IndexWanted,
    Part,
    Staged,
    Wanted,
    boot_id,
)
from cdc_daemon.state.counters import counted
from cdc_daemon.state.rows import pack, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.state import Batch, Store, Table
    from cdc_daemon.state.counters import Counter

ORDERS: Final = 20_000
ITEMS: Final = 3 * ORDERS
UPDATES: Final = 60_000
BATCH: Final = 50
"""Transactions of one change each that are applied in one of the state."""
MEMORY: Final = 64_000_000

INT: Final = ColumnType("int8")
ITEM: Final = Relation(
    "public",
    "item",
    (
        Column("id", INT, in_identity=True),
        Column("order_id", INT),
        Column("product", ColumnType("text")),
        Column("quantity", ColumnType("int4")),
        Column("price", ColumnType("numeric")),
    ),
    primary_key=("id",),
)
OF_ORDER: Final = IndexWanted("public.item", (Part("order_id", INT),))
HERE: Final = Here("benchmark", "source", boot_id(), Position(0), None, "")


def item(number: int, price: int) -> list[bytes]:
    """One row, of about 70 bytes."""
    return [
        b"%d" % number,
        b"%d" % (number % ORDERS),
        b'"Product %d of the store, in blue"' % (number % 997),
        b"%d" % (number % 7),
        b"%d.%02d" % (price, number % 100),
    ]


class Sums:
    """Count and sum of each order, as a joined read model keeps them."""

    def __init__(self, store: Store, batch: Batch) -> None:
        self._index = store.indexes[OF_ORDER.text]
        self._move = batch.counters.move
        self._aggregate = store.schema.aggregates["sum"].number

    def before(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """Nothing else depends on what the state has now."""

    def after(self, _table: Table, _key: bytes, old: bytes | None, new: bytes | None) -> None:
        """Take away and add; most updates leave the order as it is."""
        if old is not None and new is not None and value_at(old, 1) == value_at(new, 1):
            self._add(new, counted(value_at(new, 4)).plus(counted(value_at(old, 4)).negated))
            return
        if old is not None:
            self._add(old, counted(value_at(old, 4)).negated)
        if new is not None:
            self._add(new, counted(value_at(new, 4)))

    def _add(self, row: bytes, by: Counter) -> None:
        if (group := self._index.group_of(row)) is not None:
            self._move(self._aggregate, group, by)


def timed(name: str, count: int, work: Callable[[], object]) -> None:
    """Print processor time of this thread, and what it makes a second; and the time by the clock,
    in which other processes are.
    """  # noqa: D205 - one sentence
    began, clock = time.thread_time(), time.perf_counter()
    work()
    took, lasted = time.thread_time() - began, time.perf_counter() - clock
    print(f"{name:45} {took / count * 1e6:7.2f} us {count / took:9,.0f}/s  {lasted:6.2f} s")


def staged(store: Store, folder: Path, changes: Sequence[Change]) -> Staged:
    """One transaction."""
    one = Staged(store.tables, folder, MEMORY)
    for change in changes:
        one.put(change)
    return one


def apply(store: Store, some: Sequence[Staged], first: int, *, listening: bool) -> None:
    """Apply transactions in one of the state."""

    def work(batch: Batch) -> None:
        listener = Sums(store, batch) if listening else Deaf()
        for position, one in enumerate(some, first):
            batch.apply(one, Position(position), listener)

    store.write(work)


def bare(store: Store, rows: Sequence[tuple[bytes, bytes]]) -> None:
    """The same rows as one LMDB transaction writes them, with nothing else done."""
    tree = store.tables[ITEM].database

    def work(batch: Batch) -> None:
        put = batch.txn.put
        for key, row in rows:
            put(key, row, db=tree)

    store.write(work)


def children(store: Store, orders: Sequence[int]) -> None:
    """Read the rows of orders, in order."""
    index = store.indexes[OF_ORDER.text]

    def work(batch: Batch) -> None:
        for order in orders:
            group = index.group([b"%d" % order])
            if group is not None:
                index.rows(batch.txn, group)

    store.read(work)


def opened(home: Home) -> Store:
    """A new state with the table, its index and the sums."""
    store = home.create(HERE)
    store.fit(Wanted((ITEM,), (OF_ORDER,), (AggregateWanted("sum", ("public.item",)),)))
    return store


def follow(
    store: Store, folder: Path, changes: Sequence[Change], *, listening: bool, syncing: bool = False
) -> None:
    """Stage and apply changes, each a transaction, many in one of the state."""
    at = store.read(lambda batch: batch.position) + 1
    for begin in range(0, len(changes), BATCH):
        some = [staged(store, folder, [one]) for one in changes[begin : begin + BATCH]]
        apply(store, some, at + begin, listening=listening)
        if syncing:
            store.sync()


def updates(chosen: random.Random) -> list[Change]:
    """Other prices for some rows."""
    numbers = [chosen.randrange(ITEMS) for _ in range(UPDATES)]
    rows = [item(number, chosen.randrange(2, 10**6)) for number in numbers]
    return [Change(ITEM, ChangeKind.UPDATE, list(row)) for row in rows]


def measure(folder: Path) -> None:
    """Each step on the results of the one before."""
    chosen = random.Random(1)
    home = Home(folder)
    rows = [item(number, 1) for number in range(ITEMS)]
    chosen.shuffle(rows)
    store = opened(home)
    packed = [(store.tables[ITEM].key_of(list(row)), pack(row)) for row in rows]
    timed("bare puts of the same rows", ITEMS, lambda: bare(store, packed))
    timed("bare puts over them", ITEMS, lambda: bare(store, packed))
    store.close()
    store = opened(home)
    inserts = [Change(ITEM, ChangeKind.INSERT, list(row)) for row in rows]
    whole = staged(store, folder, inserts)
    timed("stage inserts, one transaction", ITEMS, lambda: staged(store, folder, inserts))
    timed(
        "apply them: rows, entries, sums", ITEMS, lambda: apply(store, [whole], 1, listening=True)
    )
    some = [updates(chosen) for _ in range(3)]
    timed(
        "updates, 1 a transaction", UPDATES, lambda: follow(store, folder, some[0], listening=False)
    )
    timed("with sums", UPDATES, lambda: follow(store, folder, some[1], listening=True))
    timed(
        "with sums, synced every 50",
        UPDATES,
        lambda: follow(store, folder, some[2], listening=True, syncing=True),
    )
    orders = [chosen.randrange(ORDERS) for _ in range(ORDERS)]
    timed("read the 3 rows of an order, in order", ORDERS, lambda: children(store, orders))
    store.close()
    home.close()


def main() -> None:
    """Print the steps."""
    print(describe())
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        measure(Path(folder))


if __name__ == "__main__":
    main()
