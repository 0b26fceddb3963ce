"""States for tests: new ones, and what a start may find."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cdc_daemon.events import Change, ChangeKind, Position
from cdc_daemon.state import Deaf, Here, Home, IndexWanted, Part, Staged, boot_id
from cdc_daemon.state.rows import unpack
from tests.generators.by_hand import TEXT, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.events import Relation, Row
    from cdc_daemon.state import Batch, Store, Wanted

HOTEL = table("id", "name", "city")
BY_CITY = IndexWanted("public.hotel", (Part("city", TEXT),))
MANY = 10**9


def here(
    state_id: str = "", place: int | None = 0, checkpoint: int | None = None, boot: str = ""
) -> Here:
    """A start on this machine."""
    reached = None if checkpoint is None else Position(checkpoint)
    return Here(
        "pipe",
        "source-1",
        boot or boot_id(),
        None if place is None else Position(place),
        reached,
        state_id,
    )


@contextmanager
def new_store(folder: Path, most_bytes: int | None = None) -> Iterator[Store]:
    """A new state, closed at the end unless the test has done so."""
    home = Home(folder, most_bytes)
    try:
        store = home.create(here())
        yield store
        store.close()
    finally:
        home.close()


@contextmanager
def found_store(folder: Path, state_id: str = "") -> Iterator[Store]:
    """The state that is there; fails if a start would not go on with it."""
    home = Home(folder)
    try:
        store, decision = home.find(here(state_id), str)
        assert store is not None, decision
        yield store
        store.close()
    finally:
        home.close()


def fit_empty(store: Store, wanted: Wanted) -> None:
    """Fit a state to a source that has no rows yet."""
    store.fit(wanted)
    for name in store.schema.to_load:
        store.loaded(name)
    for aggregate in store.schema.to_count:
        store.counted(aggregate)


def staged(store: Store, folder: Path, changes: list[Change], most_bytes: int = MANY) -> Staged:
    """A transaction."""
    one = Staged(store.tables, folder, most_bytes)
    for change in changes:
        one.put(change)
    return one


def insert(*row: bytes, relation: Relation = HOTEL) -> Change:
    """A new row."""
    return Change(relation, ChangeKind.INSERT, list(row))


def hotels(first: int, count: int) -> list[Change]:
    """New rows, of 100 bytes each."""
    return [
        insert(b"%d" % n, b'"%b"' % (b"h" * 80), b'"city %d"' % (n % 9))
        for n in range(first, first + count)
    ]


def apply(store: Store, folder: Path, position: int, *changes: Change) -> None:
    """Apply one transaction."""
    one = staged(store, folder, list(changes))
    store.write(lambda batch: batch.apply(one, Position(position), Deaf()))


def rows(store: Store, relation: Relation = HOTEL) -> dict[bytes, Row]:
    """All rows by key."""
    tree = store.tables[relation].database

    def read(batch: Batch) -> dict[bytes, Row]:
        with batch.txn.cursor(tree) as cursor:
            return {key: unpack(row) for key, row in cursor.iternext(keys=True, values=True)}

    return store.read(read)


def count_in(store: Store, city: bytes) -> int:
    """How many rows the index has for a city."""
    index = store.indexes[BY_CITY.text]
    group = index.group([city])
    assert group is not None
    return store.read(lambda batch: len(list(index.keys(batch.txn, group))))


def kill(store: Store) -> None:
    """End without a word, as kill -9 does: the kernel keeps what was written."""
    store._env.close()
