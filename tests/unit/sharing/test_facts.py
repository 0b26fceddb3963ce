from __future__ import annotations

from cdc_daemon.events import Checkpoint, Generation, Position
from cdc_daemon.ports import Reached
from cdc_daemon.sharing.facts import Complete, complete, era_of, worth_telling

FLOOR = Position(10)


def reached(durable: int, searchable: int = 0, era: str = "e") -> Reached:
    """A fact."""
    return Reached(era, Position(durable), Position(searchable))


def test_the_slot_that_is_least_far_counts() -> None:
    """All documents are as far as those of the slowest replica."""
    told = {0: reached(30, 20), 1: reached(25, 22)}
    assert complete(told, "e", FLOOR, {0, 1}) == Complete(Position(25), Position(20))


def test_what_nobody_has_told_of_is_as_far_as_the_checkpoint() -> None:
    """The leader stores no position that isn't durable in all slots."""
    assert complete({0: reached(30)}, "e", FLOOR, {0, 1}).durable == FLOOR


def test_what_was_told_of_other_indices_says_nothing() -> None:
    """A replica that hasn't heard of a new index has written nothing to it."""
    assert complete({0: reached(30, era="before")}, "e", FLOOR, {0}).durable == FLOOR


def test_only_news_is_told() -> None:
    """Whoever begins at the checkpoint is behind what was told of its slots before."""
    told = {0: reached(30, 30), 1: reached(15, 15), 2: reached(99, 99, era="before")}
    news = worth_telling(told, {0, 1, 2}, reached(20, 20))
    assert news == {1: reached(20, 20), 2: reached(20, 20)}


def test_another_index_is_another_era() -> None:
    """So is another history of the source."""
    before = Checkpoint("p", FLOOR, "s", {"a": Generation("a", "a-1", "1", "")})
    another = Checkpoint("p", FLOOR, "s", {"a": Generation("a", "a-1", "2", "")})
    further = Checkpoint("p", Position(99), "s", before.generations)
    assert era_of(further) == era_of(before)
    assert era_of(another) != era_of(before)
    assert era_of(Checkpoint("p", FLOOR, "t", before.generations)) != era_of(before)
