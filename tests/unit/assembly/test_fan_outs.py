"""Changes of rows that many documents show: left to fan-outs, in which no document is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.assembly import Bounds
from cdc_daemon.state import FanOut, fanouts
from tests.generators.joined_store import CHAIN, ROOMS, TAGS, joined, reopened

if TYPE_CHECKING:
    from pathlib import Path

HOTELS = 5
SMALL = Bounds(change=2, batch=100, piece=2)


def _named(name: str, *numbers: int) -> dict[str, Any]:
    return {str(n): {"id": n, "chain": {"name": name}} for n in numbers}


def test_a_row_shown_in_too_many_documents_gives_out_none_at_once(tmp_path: Path) -> None:
    """They come in pieces, each document once."""
    with joined(tmp_path, SMALL, hotels={"embed": {"chain": CHAIN}}) as store:
        store.insert("chain", id=3, name="Royal")
        for number in range(HOTELS):
            store.insert("hotel", id=number, chain_id=3)
        store.commit()
        store.update("chain", 3, name="Ritz")
        assert store.commit() == {}
        assert store.fan_out() == _named("Ritz", 0, 1)
        assert store.fan_out() == _named("Ritz", 2, 3)
        assert store.projections.wide_open() == {"hotels": 2}
        assert store.fan_out() == _named("Ritz", 4)
        assert store.projections.wide_open() == {}
        assert store.fan_out() == {}


def test_a_row_shown_in_few_documents_gives_them_out_at_once(tmp_path: Path) -> None:
    """As many as a change may go over."""
    with joined(tmp_path, SMALL, hotels={"embed": {"chain": CHAIN}}) as store:
        store.insert("chain", id=3, name="Royal")
        for number in (1, 2):
            store.insert("hotel", id=number, chain_id=3)
        store.commit()
        store.delete("chain", 3)
        assert store.commit() == {str(n): {"id": n, "chain": None} for n in (1, 2)}
        assert store.projections.wide_open() == {}


def test_changes_of_one_row_share_a_fan_out(tmp_path: Path) -> None:
    """One that comes while it goes on makes it go over all once more, for the later one alone."""
    with joined(tmp_path, SMALL, hotels={"embed": {"chain": CHAIN}}) as store:
        store.insert("chain", id=3, name="Royal")
        for number in range(HOTELS):
            store.insert("hotel", id=number, chain_id=3)
        store.commit()
        store.update("chain", 3, name="Ritz")
        store.commit()
        store.update("chain", 3, name="Rex")
        store.commit()
        assert store.fan_out() == _named("Rex", 0, 1)
        store.update("chain", 3, name="Regis")
        store.commit()
        assert store.projections.wide_open() == {"hotels": 2}
        assert store.fan_out() == _named("Regis", 2, 3)
        assert store.fan_out() == _named("Regis", 4, 0)
        assert store.projections.wide_open() == {"hotels": 4}
        assert store.fan_out() == _named("Regis", 1, 2)
        assert store.fan_out() == _named("Regis", 3, 4)
        assert store.projections.wide_open() == {}


def test_a_piece_looks_at_no_other_fan_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be one of each row that a statement has changed."""
    with joined(tmp_path, SMALL, hotels={"embed": {"chain": CHAIN}}) as store:
        for chain in range(50):
            store.insert("chain", id=chain, name="Royal")
            for number in range(3):
                store.insert("hotel", id=3 * chain + number, chain_id=chain)
        store.commit()
        store.fan_out_all()
        for chain in range(50):
            store.update("chain", chain, name="Ritz")
        store.commit()
        looked_at: list[bytes] = []

        def unpacked(way: bytes, group: bytes, value: bytes) -> FanOut:
            looked_at.append(group)
            return unpack(way, group, value)

        unpack = fanouts._unpacked
        monkeypatch.setattr(fanouts, "_unpacked", unpacked)
        for _ in range(4):
            store.fan_out()
            assert store.projections.wide_open() == {"hotels": 2}
        assert len(looked_at) < 20


def test_a_wide_step_below_a_wide_step_makes_fan_outs_of_its_own(tmp_path: Path) -> None:
    """A parent of chains that have many hotels each."""
    parent = {"one": "public.chain", "on": {"id": "parent_id"}, "fields": ["name"]}
    chain = {**CHAIN, "embed": {"parent": parent}}
    with joined(tmp_path, SMALL, hotels={"embed": {"chain": chain}}) as store:
        store.insert("chain", id=9, name="Group")
        for number in range(3):
            store.insert("chain", id=number, parent_id=9)
        for number in range(12):
            store.insert("hotel", id=number, chain_id=number % 3)
        store.commit()
        store.update("chain", 9, name="Holding")
        assert store.commit() == {}
        found = store.fan_out_all()
        shown = {"chain": {"name": None, "parent": {"name": "Holding"}}}
        assert found == {str(n): {"id": n, **shown} for n in range(12)}


def test_many_rows_that_are_each_shown_in_a_few_are_wide_together(tmp_path: Path) -> None:
    """After so many documents of a batch only single ones are looked for."""
    bounds = Bounds(change=2, batch=2, piece=2)
    with joined(tmp_path, bounds, hotels={"embed": {"chain": CHAIN, "rooms": ROOMS}}) as store:
        for number in range(6):
            store.insert("hotel", id=number, chain_id=number // 2)
        for number in range(3):
            store.insert("chain", id=number, name="Royal")
        store.commit()
        store.fan_out_all()
        for number in range(3):
            store.update("chain", number, name="Ritz")
        store.insert("room", id=7, hotel_id=5)
        assert set(store.commit()) == {"0", "1", "5"}
        assert set(store.fan_out_all()) == {"2", "3", "4", "5"}


def test_a_where_that_reads_the_changed_row_does_not_hide_its_documents(tmp_path: Path) -> None:
    """Of those that it no longer includes there are none."""
    mapping = {"where": "chain.name = 'open'", "embed": {"chain": CHAIN}}
    with joined(tmp_path, SMALL, hotels=mapping) as store:
        store.insert("chain", id=3, name="open")
        for number in range(HOTELS):
            store.insert("hotel", id=number, chain_id=3)
        assert len(store.commit()) == HOTELS
        store.update("chain", 3, name="shut")
        store.commit()
        assert store.fan_out_all() == {str(n): None for n in range(HOTELS)}


@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_a_fan_out_goes_on_after_a_restart_where_it_was(tmp_path: Path, pieces: int) -> None:
    """What was pending is given out again, what was not comes in its turn."""
    mapping = {"embed": {"chain": CHAIN}}
    with joined(tmp_path, SMALL, hotels=mapping) as store:
        store.insert("chain", id=3, name="Royal")
        for number in range(HOTELS):
            store.insert("hotel", id=number, chain_id=3)
        store.commit()
        store.written()
        store.update("chain", 3, name="Ritz")
        store.commit()
        for _ in range(pieces):
            store.projections.fan_out()
    with reopened(tmp_path, SMALL, hotels=mapping) as store:
        assert store.projections.wide_open() == {"hotels": 2}
        assert store.pending() == _named("Ritz", *range(2 * pieces))
        assert store.fan_out_all() == _named("Ritz", *range(2 * pieces, HOTELS))


def test_a_fan_out_of_another_mapping_is_dropped(tmp_path: Path) -> None:
    """Such a read model is written anew as a whole."""
    with joined(tmp_path, SMALL, hotels={"embed": {"chain": CHAIN, "tags": TAGS}}) as store:
        store.insert("chain", id=3, name="Royal")
        for number in range(HOTELS):
            store.insert("hotel", id=number, chain_id=3)
        store.commit()
        store.update("chain", 3, name="Ritz")
        store.commit()
    with reopened(tmp_path, SMALL, hotels={"embed": {"tags": TAGS}}) as store:
        assert store.fan_out() == {}
        assert store.projections.wide_open() == {}
