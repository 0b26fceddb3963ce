"""Up to where commits through a relay are told that searches find them."""

from __future__ import annotations

import threading

import pytest

from cdc_daemon.events import NOWHERE, Position
from cdc_daemon.ports import Word
from cdc_daemon.relaying.searches import Pipeline, Searches
from tests.generators.conditions import wait_until

HISTORY = "7301 timeline 1"
RELEASE_SECONDS = 5.0


def word(position: int, *, is_whole: bool = True, source_id: str = HISTORY) -> Word:
    """What a leader says."""
    return Word(source_id, Position(position), is_whole)


class Leaders:
    """An `Observer` of what a test says."""

    def __init__(self, **words: Word | str) -> None:
        self.words: dict[str, Word | str] = dict(words)
        self.is_broken = False
        self.is_closed = False

    def look(self) -> dict[str, Word | str]:
        """What was said last."""
        if self.is_broken:
            raise ZeroDivisionError
        return dict(self.words)

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


def test_the_most_that_was_said_counts() -> None:
    """It stays true; what is said of another history says nothing, nor does silence."""
    one = Pipeline(None, 0.0)
    settled = Position(100)
    one.hear(word(10), HISTORY, settled, 0.0)
    assert (one.position, one.is_whole) == (10, True)
    one.hear(word(5), HISTORY, settled, 0.0)
    assert (one.position, one.is_whole) == (10, False), "another leads, and isn't as far yet"
    one.hear(word(10, is_whole=False), HISTORY, settled, 0.0)
    assert (one.position, one.is_whole) == (10, False)
    one.hear(word(90, source_id="7301 timeline 2"), HISTORY, settled, 0.0)
    assert (one.position, one.is_whole) == (10, False)
    assert "timeline 2" in one.trouble
    one.hear("nobody is there", HISTORY, settled, 0.0)
    assert (one.position, one.is_whole, one.trouble) == (10, False, "nobody is there")


def test_who_does_not_get_on_is_left_out_for_as_long_as_it_is_behind() -> None:
    """Only where it may; and only once there was something to be found all the time."""
    strict, degrading = Pipeline(None, 0.0), Pipeline(RELEASE_SECONDS, 0.0)
    for one in (strict, degrading):
        one.hear(word(10), HISTORY, Position(10), 100.0)
        one.hear(word(10), HISTORY, Position(20), 104.0)
        one.hear(word(15), HISTORY, Position(20), 106.0)
        assert not one.is_left_out
        one.hear(word(15), HISTORY, Position(30), 111.0)
    assert not strict.is_left_out
    assert degrading.is_left_out
    degrading.hear(word(30), HISTORY, Position(40), 120.0)
    assert degrading.is_left_out, "it took nine seconds"
    degrading.hear(word(41), HISTORY, Position(50), 120.5)
    assert not degrading.is_left_out


def test_the_least_of_all_is_told() -> None:
    """Never more than Kafka has, and nothing while one has said nothing."""
    leaders = Leaders(hotels=word(50), rooms="nobody is there")
    moved = threading.Event()
    searches = Searches(leaders, ["hotels", "rooms"], HISTORY, None, lambda: True, moved.set)
    searches.start()
    try:
        assert searches.up_to(Position(100)) == NOWHERE
        leaders.words["rooms"] = word(200)
        assert wait_until(lambda: searches.up_to(Position(100)) == Position(50))
        assert moved.is_set()
        leaders.words["hotels"] = word(150, is_whole=False)
        assert wait_until(lambda: searches.up_to(Position(100)) == Position(100))
        assert not searches.covers_all
        leaders.words["hotels"] = "away"
        assert wait_until(lambda: searches.show(str)["hotels"]["trouble"] == "away")
        assert searches.show(str)["rooms"]["trouble"] == ""
        assert searches.up_to(Position(170)) == Position(150)
        leaders.words["hotels"] = word(300)
        assert wait_until(lambda: searches.covers_all)
    finally:
        searches.stop()
        searches.join()
    assert leaders.is_closed


def test_it_is_said_where_nobody_looks_any_more() -> None:
    """A mistake of ours isn't worth that commits wait for ever: who asks gets to know."""
    leaders, moved = Leaders(), threading.Event()
    leaders.is_broken = True
    searches = Searches(leaders, [], HISTORY, None, lambda: True, moved.set)
    searches.start()
    searches.join(10)
    assert moved.is_set()
    with pytest.raises(ZeroDivisionError):
        searches.up_to(Position(100))
    assert leaders.is_closed
