"""What somebody waits for: forgotten once it is passed, and bounded."""

from __future__ import annotations

import pytest

from cdc_daemon.delivery.hurry import MOST_AWAITED, Hurry
from cdc_daemon.delivery.lane import Batch
from cdc_daemon.events import NOWHERE, Position


@pytest.fixture
def hurry() -> Hurry:
    """Of two indices; somebody waits for all up to 20, and for one of them up to 30."""
    made = Hurry(("one", "two"))
    made.up_to(Position(20))
    made.up_to(Position(30), ["one"])
    return made


def test_what_is_read_is_released_once(hurry: Hurry) -> None:
    """Not before it is read, and not again."""
    reached = [hurry.take_read(Position(at)) for at in (19, 20, 25, 30, 40)]
    assert reached == [False, True, False, True, False]


def test_what_is_durable_is_refreshed_once(hurry: Hurry) -> None:
    """The highest of what was passed, in each index by itself."""
    assert hurry.take_durable("two", Position(19)) == NOWHERE
    assert hurry.take_durable("two", Position(40)) == 20
    assert not hurry.awaits("two")
    assert hurry.take_durable("one", Position(40)) == 30
    assert hurry.take_durable("one", Position(50)) == NOWHERE


@pytest.mark.parametrize(
    ("index", "after", "covered"),
    [("one", 29, True), ("one", 30, False), ("two", 19, True), ("two", 20, False)],
)
def test_a_batch_is_in_a_hurry_if_it_begins_before(
    hurry: Hurry, index: str, after: int, *, covered: bool
) -> None:
    """What begins at or beyond the position has nothing that anybody waits for."""
    batch = Batch(Position(after))
    batch.by_index[index] = {}
    assert hurry.covers(batch) == covered


def test_what_nobody_passes_stays_bounded() -> None:
    """While a sink is away people go on asking: the last of them are remembered."""
    hurry = Hurry(("one",))
    for position in range(3 * MOST_AWAITED):
        hurry.up_to(Position(position))
    assert len(hurry._unread) <= MOST_AWAITED
    assert len(hurry._undurable["one"]) <= MOST_AWAITED
    assert hurry.take_durable("one", Position(2**63)) == 3 * MOST_AWAITED - 1
