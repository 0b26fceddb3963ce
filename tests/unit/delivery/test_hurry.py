"""What somebody waits for: from when it is read until it is passed, and bounded."""

from __future__ import annotations

import pytest

from cdc_daemon.delivery.hurry import MOST_AWAITED, Hurry
from cdc_daemon.delivery.lane import Batch
from cdc_daemon.events import NOWHERE, Position

FAR = Position(2**63)


@pytest.fixture
def hurry() -> Hurry:
    """Of two indices; somebody waits for all up to 20, and for one of them up to 30."""
    made = Hurry(("one", "two"))
    made.up_to(Position(30), ["one"])
    made.up_to(Position(20))
    return made


def covered(hurry: Hurry, index: str, after: int) -> bool:
    """Whether a batch of that index is in a hurry that begins there."""
    batch = Batch(Position(after))
    batch.by_index[index] = {}
    return hurry.covers(batch)


def test_what_is_read_is_released_once(hurry: Hurry) -> None:
    """Not before it is read, and not again."""
    reached = [hurry.take_read(Position(at)) for at in (19, 20, 25, 30, 40)]
    assert reached == [False, True, False, True, False]


def test_what_is_durable_is_refreshed_once(hurry: Hurry) -> None:
    """The highest of what was passed, in each index by itself."""
    hurry.take_read(Position(30))
    assert hurry.take_durable("two", Position(19)) == NOWHERE
    assert hurry.take_durable("two", Position(40)) == 20
    assert not hurry.awaits("two")
    assert hurry.take_durable("one", Position(40)) == 30
    assert hurry.take_durable("one", Position(50)) == NOWHERE


@pytest.mark.parametrize(
    ("index", "after", "expected"),
    [("one", 29, True), ("one", 30, False), ("two", 19, True), ("two", 20, False)],
)
def test_a_batch_is_in_a_hurry_if_it_begins_before(
    hurry: Hurry, index: str, after: int, *, expected: bool
) -> None:
    """What begins at or beyond the position has nothing that anybody waits for."""
    hurry.take_read(Position(30))
    assert covered(hurry, index, after) == expected


def test_what_has_not_been_read_hurries_nothing(hurry: Hurry) -> None:
    """It may never come: a position in the future must not make every batch go by itself."""
    hurry.up_to(FAR)
    hurry.take_read(Position(25))
    assert covered(hurry, "one", 19)
    assert not covered(hurry, "one", 20)
    assert hurry.take_durable("one", FAR) == 20
    assert not hurry.awaits("one")


def test_what_has_not_been_read_can_be_taken_back(hurry: Hurry) -> None:
    """Once for each who has said so; what was read meanwhile stays."""
    hurry.up_to(Position(20))
    hurry.take_back(Position(20))
    hurry.take_back(Position(25))
    hurry.take_back(Position(30))
    assert hurry.take_read(Position(20))
    assert hurry.take_durable("two", Position(20)) == 20
    hurry.take_back(Position(20))
    hurry.take_back(Position(30), ["one"])
    assert not hurry.take_read(FAR)
    assert not hurry.awaits("two")


def test_the_highest_is_never_forgotten() -> None:
    """An index that nothing is written to is awaited again and again, and all is bounded."""
    hurry = Hurry(("one",))
    for position in range(1, 5 * MOST_AWAITED):
        hurry.up_to(Position(position))
        hurry.up_to(Position(position))
        assert hurry.take_read(Position(position))
        assert hurry._undurable["one"][-1] == position
        assert len(hurry._undurable["one"]) <= MOST_AWAITED
    assert hurry._unread == []
    assert hurry.take_durable("one", FAR) == 5 * MOST_AWAITED - 1
