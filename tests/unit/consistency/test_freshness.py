"""How long what was written lay in an index unfound: told by writes and refreshes."""

from __future__ import annotations

import pytest

from cdc_daemon.consistency import freshness as module
from cdc_daemon.consistency.freshness import Freshness
from cdc_daemon.consistency.rolling import MAXIMUM_OVER_SECONDS, RollingMaximum
from tests.generators.set_clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of the machine's."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def achieved(freshness: Freshness) -> list[float]:
    """Of each read model."""
    return [round(one.achieved, 6) for one in freshness.achieved()]


def test_only_what_was_written_before_a_refresh_is_shown_by_it(clock: Clock) -> None:
    """The first write counts, until the refresh has returned; what came meanwhile for the next."""
    freshness = Freshness({"a": "hotels", "b": "rooms"}, {"a": 1.0, "b": 0.0})
    freshness.written("a")
    clock.now += 0.5
    freshness.written("a")
    assert achieved(freshness) == [0.5, 0]
    freshness.begin_refresh(["a"])
    clock.now += 0.1
    freshness.written("a")
    clock.now += 0.1
    freshness.end_refresh(["a"], succeeded=True)
    assert achieved(freshness) == [0.7, 0]
    clock.now += 5
    assert achieved(freshness) == [5.1, 0], "what lies there still counts, too"
    clock.now += 70
    freshness.begin_refresh(["a", "b"])
    freshness.end_refresh(["a", "b"], succeeded=True)
    assert achieved(freshness) == [75.1, 0]
    clock.now += 61
    assert achieved(freshness) == [0, 0]


def test_a_refresh_that_failed_has_shown_nothing(clock: Clock) -> None:
    """The wait goes on from the first write."""
    freshness = Freshness({"a": "hotels"}, {"a": 1.0})
    freshness.written("a")
    freshness.begin_refresh(["a"])
    clock.now += 2
    freshness.written("a")
    freshness.end_refresh(["a"], succeeded=False)
    clock.now += 3
    assert achieved(freshness) == [5]


def test_the_maximum_of_a_minute_forgets_what_is_older() -> None:
    """It keeps only what can still be the largest."""
    rolling = RollingMaximum()
    assert rolling.of(0, 0.3) == 0.3
    for second, value in enumerate((5, 9, 2, 7, 1)):
        rolling.note(second, value)
    assert len(rolling._noted) == 3
    assert rolling.of(5, 0) == 9
    assert rolling.of(1.5 + MAXIMUM_OVER_SECONDS, 0) == 7
    assert rolling.of(1.5 + MAXIMUM_OVER_SECONDS, 8) == 8
    assert rolling.of(100, 0) == 0
