"""A relay waits for the marks that show its transactions to readers, wherever and whenever."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, cast

import pytest

from cdc_daemon.config.strong import SHORTEST_RELEASE_SECONDS
from cdc_daemon.errors import RetryError
from connectors.kafka.relay import seeing
from connectors.kafka.topics import Place, Topics

if TYPE_CHECKING:
    from collections.abc import Sequence

PLACES = [Place("log", 0), Place("hotel", 0), Place("hotel", 1), Place("room", 0)]
LONG = 200
"""The source hears from us so often: it waits without end."""


class Brokers:
    """Of partitions in each of which a transaction has ended, and a mark is yet to come."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.written = {place: rng.randrange(100) for place in PLACES}
        self.unmarked = {place for place in PLACES if rng.random() < 0.7}
        self.away = 0
        """So many questions are not answered."""
        self.answer_seconds = 0.0
        """Who asks for less gets no answer."""
        self.forgetful = False
        """Whether what is hidden at the first question is lost right after it."""

    def ends(
        self, places: Sequence[Place], *, seen: bool = True, seconds: float
    ) -> dict[Place, int]:
        """As `Topics` has it."""
        assert seconds <= SHORTEST_RELEASE_SECONDS / 2, "the source would take us for gone"
        if self.away or seconds < self.answer_seconds:
            self.away = max(0, self.away - 1)
            raise RetryError("nobody is there", reason="unavailable")
        if self.forgetful:
            return self._lose(places)
        for place in PLACES:
            if place in self.unmarked and self._rng.random() < 0.3:
                self.unmarked.remove(place)
                self.written[place] += 1
        return {
            place: self.written[place] - 5 * (seen and self._is_open(place)) for place in places
        }

    def _lose(self, places: Sequence[Place]) -> dict[Place, int]:
        had = {place: self.written[place] for place in places}
        for place in self.unmarked:
            self.written[place] -= 5
        self.unmarked.clear()
        self.forgetful = False
        return had

    def _is_open(self, place: Place) -> bool:
        return place in self.unmarked


class StillWaitingError(Exception):
    """Far longer than it may."""


def wait(brokers: Brokers) -> int:
    """Return how often the source heard from us meanwhile."""
    heard = 0

    def meanwhile() -> None:
        nonlocal heard
        heard += 1
        if heard > LONG:
            raise StillWaitingError

    seeing.wait_until_seen(cast("Topics", brokers), PLACES, meanwhile)
    return heard


@pytest.mark.parametrize("seed", range(20))
def test_it_returns_once_all_marks_are_there(seed: int) -> None:
    """In whatever order they come, though brokers are away now and then."""
    brokers = Brokers(random.Random(seed))
    brokers.away = seed % 3
    assert wait(brokers) >= seed % 3
    assert not brokers.unmarked


def test_brokers_that_stay_away_are_to_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever opens the relay again: what has ended is found there."""
    monkeypatch.setattr(seeing, "AWAY_SECONDS", 0.2)
    brokers = Brokers(random.Random(1))
    brokers.away = 1000
    with pytest.raises(RetryError, match="nobody is there"):
        wait(brokers)


def test_what_is_lost_meanwhile_is_not_waited_for() -> None:
    """Nobody will ever see it: that it is gone is found where it is looked for."""
    brokers = Brokers(random.Random(1))
    assert brokers.unmarked
    brokers.forgetful = True
    wait(brokers)


def test_brokers_that_are_far_away_get_longer_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failed question leaves its connection behind: the next one needs all of the time."""
    monkeypatch.setattr(seeing, "AWAY_SECONDS", 1.0)
    brokers = Brokers(random.Random(1))
    brokers.answer_seconds = 1.5
    wait(brokers)
    assert not brokers.unmarked
