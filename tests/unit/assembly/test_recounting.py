"""Aggregates that are new are counted in slices, however many rows are behind one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.assembly import JoinedProjections, wanted
from cdc_daemon.state import applying
from tests.generators.joined_store import joined, plans
from tests.generators.states import found_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.state import Store

SHELVES: dict[str, Any] = {
    "through": {
        "table": "public.hotel_tag",
        "on": {"hotel_id": "id"},
        "to": {"shelf": "tag_id"},
    }
}
"""A junction row leads to all tags of a shelf."""
TAGS: dict[str, Any] = {"many": "public.tag", **SHELVES, "fields": ["id", "name"]}
HOTELS, SHELF = 12, 300


def counted(names: tuple[str, ...]) -> dict[str, Any]:
    """Hotels with the tags of their shelf, and how many values they have in these columns."""
    counts = {f"of_{one}": {"count": "public.tag", **SHELVES, "value": one} for one in names}
    return {"embed": {"tags": TAGS, **counts}}


def fill(folder: Path) -> None:
    """Each hotel has a shelf, and each shelf many tags; nothing counts them."""
    with joined(folder, hotels={"embed": {"tags": TAGS}}) as store:
        for number in range(HOTELS):
            store.insert("hotel", id=number)
            store.insert("hotel_tag", hotel_id=number, tag_id=number)
        for number in range(HOTELS * SHELF):
            store.insert("tag", id=number, name="a", shelf=number % HOTELS)
        store.commit()


@contextmanager
def counting(folder: Path, *names: str) -> Iterator[tuple[Store, JoinedProjections]]:
    """The state after a start whose read models count, too."""
    some = plans(hotels=counted(names))
    with found_store(folder / "state") as store:
        store.fit(wanted(some))
        while not store.index_some():
            pass
        yield store, JoinedProjections(some, store)


@pytest.mark.parametrize("names", [("id",), ("id", "name")])
def test_a_slice_is_bounded_by_the_rows_behind_it(tmp_path: Path, names: tuple[str, ...]) -> None:
    """And the next one, after a start as well, goes on behind it."""
    fill(tmp_path)
    slices = 0
    for _ in range(HOTELS + 1):
        with counting(tmp_path, *names) as (store, projections):
            assert store.schema.to_count
            if projections.count_some():
                break
            slices += 1
    assert slices >= len(names) * HOTELS * SHELF / 2000
    with counting(tmp_path, *names) as (store, projections):
        assert not store.schema.to_count
        numbers = [one.number for one in store.schema.aggregates.values()]
        assert len(numbers) == len(names)
        (index,) = (one for one in store.indexes if '"hotel_id"' in one)
        group = store.indexes[index].group([b"3"])
        assert group is not None
        found = store.read(lambda batch: [batch.counters.get(one, group) for one in numbers])
        assert [one.values for one in found] == [SHELF] * len(names)


def test_a_slice_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also within one row that leads to very many."""
    monkeypatch.setattr(applying, "BEAT_ROWS", 100)
    fill(tmp_path)
    with counting(tmp_path, "id") as (_, projections):
        beats: list[None] = []
        projections.meanwhile = lambda: beats.append(None)
        while not projections.count_some():
            pass
        assert len(beats) >= HOTELS * SHELF / 100
