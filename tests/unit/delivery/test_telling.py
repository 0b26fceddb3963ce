"""What the delay clock is told of read models: each by itself, and not too often."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.consistency.delays import PIPELINE, STAGES, Delays
from cdc_daemon.delivery import telling as module
from cdc_daemon.delivery.lane import Lane
from cdc_daemon.delivery.progress import Progress
from cdc_daemon.delivery.telling import Telling
from cdc_daemon.events import DocumentOperation, Position
from cdc_daemon.ports import ClockSample

if TYPE_CHECKING:
    from collections.abc import Mapping

INDICES = {"hotels": "hotels-1", "rooms": "rooms-1"}


class Bench:
    """Two read models over one lane; everything up to 5 is searchable."""

    def __init__(self) -> None:
        self.delays = Delays(lambda *_: None)
        self.lane = Lane(1_000_000)
        self.progress = Progress([self.lane])
        self.progress.received = Position(5)
        self.telling = Telling(self.delays, self.progress, INDICES)
        self.telling.tell(moved=False)

    def put(self, index: str, position: int) -> None:
        """A transaction of one document is on its way."""
        operation = DocumentOperation(index, b"1", position, b"{}")
        self.lane.put(index, {b"1": operation}, 10, self.progress.received)
        self.progress.received = Position(position)

    def late(self) -> Mapping[str, bool]:
        """Whether the newest sample, at what is received, is still waited for: by read model."""
        sample = ClockSample(time.time() - 60, self.progress.received, 0.0)
        self.delays.sampled(sample)
        return {
            one.projection: one.bound is None or one.bound > 1
            for one in self.delays.readings()
            if one.stage == "searchable"
        }

    def positions(self) -> list[int]:
        """Of all read models together."""
        return [self.delays.position(stage) for stage in STAGES]


@pytest.fixture
def bench() -> Bench:
    """Nothing is on its way."""
    return Bench()


def test_a_read_model_is_behind_only_by_what_is_for_it(bench: Bench) -> None:
    """The one that nothing is pending for shows all that was read."""
    bench.put("hotels-1", 9)
    bench.telling.tell(moved=True)
    assert bench.positions() == [0, 9, 5, 5]
    late = bench.late()
    assert late["hotels"]
    assert not late["rooms"]
    assert late[PIPELINE]


def test_one_that_is_not_published_is_not_told(bench: Bench) -> None:
    """Nobody searches it."""
    bench.progress.build(["rooms-1"])
    bench.telling.tell(moved=False)
    assert {one.projection for one in bench.delays.readings()} == {PIPELINE, "hotels"}
    bench.progress.built(["rooms-1"])
    bench.progress.published(["rooms-1"])
    bench.telling.tell(moved=False)
    assert {one.projection for one in bench.delays.readings()} == {PIPELINE, "hotels", "rooms"}


def test_the_reader_tells_each_seldom_and_who_has_moved_something_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All together are told always."""
    monkeypatch.setattr(module, "EACH_SECONDS", 3600)
    bench.put("hotels-1", 9)
    bench.telling.tell(moved=True)
    bench.put("hotels-1", 12)
    bench.telling.tell(moved=False)
    assert bench.positions() == [0, 12, 5, 5]
    assert bench.late()["rooms"], "not told yet"
    bench.telling.tell(moved=True)
    assert not bench.late()["rooms"]


def test_one_whose_rows_are_read_again_is_late_until_a_refresh_shows_them(bench: Bench) -> None:
    """Changes were left to that load, and nobody knows which: nor is the pipeline up to date."""
    bench.progress.leave_to_load(["rooms-1"])
    bench.progress.received = Position(9)
    bench.telling.tell(moved=True)
    late = bench.late()
    assert (late[PIPELINE], late["hotels"], late["rooms"]) == (True, False, True)
    bench.progress.load_ended(["rooms-1"])
    bench.progress.begin_refresh(["rooms-1"])
    bench.progress.end_refresh(bench.progress.refreshing(), succeeded=True)
    bench.telling.tell(moved=True)
    assert not any(bench.late().values())
