"""Several sinks as one: each read model is in its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.events import Checkpoint, DeadLetter, Generation, Position
from cdc_daemon.ports import ReadModel
from cdc_daemon.sinks import Sinks
from tests.generators.memory_sink import MemorySink

if TYPE_CHECKING:
    from collections.abc import Sequence

HOTELS, ROOMS = (ReadModel(name, (), "f") for name in ("hotels", "rooms"))
PLACES = {"hotels": "search", "rooms": "tables"}


class Pair:
    """Two sinks, and both as one."""

    def __init__(self) -> None:
        self.search, self.tables = MemorySink(), MemorySink()
        self.both = Sinks({"search": self.search, "tables": self.tables}, PLACES)

    def said(self) -> tuple[list[object], list[object]]:
        """What each was asked for."""
        return [one for one, _ in self.search.said], [one for one, _ in self.tables.said]


@pytest.fixture
def pair() -> Pair:
    """Empty ones."""
    return Pair()


def test_a_generation_is_made_and_found_where_its_read_model_is(pair: Pair) -> None:
    """And nowhere else, from its making to its end."""
    hotels, rooms = map(pair.both.create_generation, (HOTELS, ROOMS))
    assert list(pair.search.indices) == [hotels.index]
    assert list(pair.tables.indices) == [rooms.index]
    assert [pair.both.place(each.index) for each in (hotels, rooms)] == ["search", "tables"]
    assert pair.both.find_generation(rooms.index) == rooms.uuid
    pair.both.publish(rooms)
    pair.both.refresh([hotels.index, rooms.index])
    pair.both.drop_generation(rooms)
    assert pair.said() == (["create", "refresh"], ["create", "publish", "refresh", "drop"])


def test_what_another_daemon_made_is_known_by_the_checkpoint(pair: Pair) -> None:
    """It is in the first sink, and says where indices are by their read models."""
    rooms = Generation("rooms", "r-7", "uuid of r-7", "f")
    pair.tables.index("r-7")
    pair.search.checkpoints.store(Checkpoint("p", Position(1), "s", {"rooms": rooms}))
    assert pair.both.find_generation("r-7") is None
    pair.both.checkpoints.load("p")
    assert pair.both.find_generation("r-7") == "uuid of r-7"


def test_a_read_model_that_has_moved_is_not_found(pair: Pair) -> None:
    """What the former sink has of it isn't gone on with."""
    moved = Generation("rooms", "r-7", "uuid of r-7", "f")
    pair.search.index("r-7")
    pair.both.know([moved])
    assert pair.both.find_generation("r-7") is None
    pair.both.drop_generation(moved)
    assert pair.said() == ([], ["drop"])


def test_what_is_no_longer_configured_is_dropped_wherever_it_is(pair: Pair) -> None:
    """Nobody knows any more where that was."""
    pair.both.drop_generation(Generation("gone", "g-1", "uuid", "f"))
    assert pair.said() == (["drop"], ["drop"])


@pytest.mark.parametrize("place", ["search", "tables", ""])
def test_a_writer_leads_to_the_sink_that_is_asked_for(pair: Pair, place: str) -> None:
    """The first one where nobody says which."""
    pair.both.writer(place).close()
    closed = (pair.search.closed_writers, pair.tables.closed_writers)
    assert closed == ((0, 1) if place == "tables" else (1, 0))


def test_dead_letters_are_in_the_first_sink(pair: Pair) -> None:
    """Those of all read models: there is one place to look."""
    letters: Sequence[DeadLetter] = [DeadLetter("p", "rooms", "1", Position(1), "poison", "why")]
    assert pair.both.dead_letters.add(letters) == 1
    assert len(pair.search.dead_letters.letters) == 1
    assert not pair.tables.dead_letters.letters


def test_what_is_found_at_once_is_known_of_each(pair: Pair) -> None:
    """As its own sink says."""
    rooms = pair.both.create_generation(ROOMS)
    hotels = pair.both.create_generation(HOTELS)
    pair.tables.immediate.add(rooms.index)
    assert pair.both.shows_at_once(rooms.index)
    assert not pair.both.shows_at_once(hotels.index)
