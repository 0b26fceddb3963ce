"""Lanes: one while it can keep up, all under load, and nothing overtakes when that changes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cdc_daemon.delivery import lane as module
from cdc_daemon.delivery.lanes import Lanes
from cdc_daemon.delivery.pace import Pace
from cdc_daemon.events import DocumentOperation, Position
from tests.generators.conditions import wait_until

if TYPE_CHECKING:
    import pytest

    from cdc_daemon.delivery.lane import Batch, Lane


def put(lane: Lane, name: bytes, size_bytes: int = 100) -> None:
    """Put one document."""
    operation = DocumentOperation("i", name, 1, b"{}")
    lane.put("i", {name: operation}, size_bytes, Position(1))


def test_one_lane_is_used_until_more_waits_than_a_request_carries() -> None:
    """At low rates every document goes through one lane; under load through all."""
    lanes = Lanes(3, 1000)
    put(lanes[0], b"a", 900)
    assert lanes.adapt() == 1
    put(lanes[0], b"b", 100)
    assert lanes.adapt() == 3


def test_one_lane_is_used_again_when_little_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at once after a change, and not while a sixteenth of a batch waits."""
    lanes = Lanes(2, 1600)
    lanes._divide(2)
    assert lanes.adapt() == 2
    monkeypatch.setattr("cdc_daemon.delivery.lanes.CALM_SECONDS", 0.0)
    put(lanes[1], b"a", 100)
    assert lanes.adapt() == 2
    lanes[1].release()
    batch = lanes[1].take()
    assert batch is not None
    lanes[1].done(batch)
    assert lanes.adapt() == 1


def test_a_later_era_waits_for_the_slowest_lane() -> None:
    """What changed lanes is taken only when the request that may hold it before is answered."""
    lanes = Lanes(2, 1000)
    put(lanes[0], b"a")
    lanes[0].release()
    first = lanes[0].take()
    assert first is not None
    lanes._divide(2)
    put(lanes[1], b"a")
    lanes[1].release()
    taken: list[Batch | None] = []
    thread = threading.Thread(target=lambda: taken.append(lanes[1].take()))
    thread.start()
    thread.join(0.1)
    assert not taken
    lanes[0].done(first)
    assert wait_until(lambda: len(taken) == 1, 5)
    thread.join()


def test_of_one_document_the_higher_version_stays() -> None:
    """Messages of a source may come in another order than the changes that they are of."""
    lane = module.Lane(batch_bytes=1000)
    for version, name in ((7, b"1"), (9, b"1"), (8, b"1"), (8, b"2"), (9, b"2"), (9, b"1")):
        body = b"%d" % version
        operation = DocumentOperation("hotels", name, version, body)
        lane.put("hotels", {name: operation}, 100, Position(0))
    lane.release()
    batch = lane.take()
    assert batch is not None
    assert {one.id: one.version for one in batch.operations} == {b"1": 9, b"2": 9}


def test_a_batch_is_closed_by_its_number_of_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small they are."""
    monkeypatch.setattr(module, "MOST_OPERATIONS", 3)
    lane = Lanes(1, 10**9)[0]
    for name in (b"a", b"b", b"c", b"d"):
        put(lane, name)
    batch = lane.take()  # not released: it is full
    assert batch is not None
    assert [one.id for one in batch.operations] == [b"a", b"b", b"c"]


class Moments:
    """A pace, its clock, and what is hidden."""

    def __init__(self, **freshness_seconds: float) -> None:
        self.now = 100.0
        self.hidden: set[str] = set()
        self.pace = Pace(freshness_seconds, lambda: self.now)
        self.pace.hidden = lambda: self.hidden

    def hold(self, *indices: str, sent_ago: float = 1000.0, opened_ago: float = 0.0) -> float:
        """How long a batch for `indices` is held."""
        batch = module.Batch(Position(0))
        batch.opened_at = self.now - opened_ago
        batch.by_index = {index: {} for index in indices}
        return round(self.pace.hold_seconds(batch, self.now - sent_ago), 6)


def test_small_batches_are_no_more_than_freshness_needs() -> None:
    """The first goes at once; the next ones after a twentieth of the freshness, 50 ms at most."""
    moments = Moments(slow=10.0, quick=0.2)
    assert moments.hold("slow") == 0
    assert moments.hold("slow", sent_ago=0.01) == 0.04
    assert moments.hold("quick", sent_ago=0.004) == 0.006
    assert moments.hold("quick", "slow", sent_ago=0.004) == 0.006


def test_what_must_be_fresh_waits_for_the_refresh_that_would_miss_it() -> None:
    """With freshness 0 a batch is held while its index is refreshed, but never for long."""
    moments = Moments(fresh=0.0, slow=10.0)
    assert moments.hold("fresh", sent_ago=0.0) == 0
    moments.hidden = {"fresh"}
    assert moments.hold("fresh", opened_ago=0.02) == 0.08
    assert moments.hold("fresh", opened_ago=5.0) == 0
    assert moments.hold("fresh", "slow") == 0.1
    moments.hidden = {"slow"}
    assert moments.hold("fresh", "slow", sent_ago=0.0) == 0


def test_nothing_is_held_while_everything_is_to_be_written() -> None:
    """A stop, and a truncate, wait for all that was sent."""
    moments = Moments(fresh=0.0, slow=10.0)
    moments.hidden = {"fresh"}
    moments.pace.at_once = True
    assert moments.hold("fresh", "slow", sent_ago=0.0) == 0
