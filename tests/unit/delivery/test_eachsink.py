"""What is told of each of several sinks, and which of them the positions of all wait for."""

from __future__ import annotations

import time

import pytest

from cdc_daemon.consistency.delays import Delays
from cdc_daemon.delivery.eachsink import EachSink
from cdc_daemon.delivery.lanegroups import lane_groups
from cdc_daemon.delivery.progress import Progress
from cdc_daemon.delivery.telling import Telling
from cdc_daemon.events import DocumentOperation, Position
from cdc_daemon.ports import ClockSample

NAMES = {"hotels-1": "hotels", "rooms-1": "rooms", "lists-1": "lists"}
PLACES = {"hotels-1": "search", "rooms-1": "tables", "lists-1": "tables"}
SIZE_BYTES = 10


class Bench:
    """Two sinks; everything up to 5 is searchable in both."""

    def __init__(self) -> None:
        self.lanes, loading = lane_groups(PLACES, 1, 1_000_000, lambda _batch, _sent_at: 0.0)
        self.progress = Progress((*self.lanes, *loading), frozenset({"rooms-1", "lists-1"}))
        self.progress.received = Position(5)
        delays = Delays(lambda *_: None)
        self.delays = delays
        self.telling = Telling(delays, self.progress, {name: at for at, name in NAMES.items()})
        self.sinks = EachSink(PLACES, NAMES, self.progress, (self.lanes, loading), delays)

    def put(self, index: str, position: int) -> None:
        """A transaction of one document is on its way."""
        operation = DocumentOperation(index, b"1", position, b"{}")
        [lane] = self.lanes.of(index)
        lane.put(index, {b"1": operation}, SIZE_BYTES, self.progress.received)
        self.progress.received = Position(position)

    def write(self, index: str) -> None:
        """The sink has taken it."""
        [lane] = self.lanes.of(index)
        lane.release()
        batch = lane.take()
        assert batch is not None
        self.progress.written(batch)
        lane.done(batch)


@pytest.fixture
def bench() -> Bench:
    """Nothing is on its way."""
    return Bench()


def test_the_one_that_has_least_holds_the_others_back(bench: Bench) -> None:
    """By stage: what isn't searched yet may be durable already."""
    assert [one.holds_back for one in bench.sinks.reports()] == [[], []]
    bench.put("hotels-1", 9)
    search, tables = bench.sinks.reports()
    assert (search.name, tables.name) == ("search", "tables")
    assert search.positions == {"indexed": 5, "searchable": 5}
    assert tables.positions == {"indexed": 9, "searchable": 9}
    assert (search.holds_back, tables.holds_back) == (["indexed", "searchable"], [])
    bench.write("hotels-1")
    search, tables = bench.sinks.reports()
    assert search.positions == {"indexed": 9, "searchable": 5}
    assert search.holds_back == ["searchable"]
    bench.progress.begin_refresh(["hotels-1"])
    bench.progress.end_refresh(bench.progress.refreshing(), succeeded=True)
    assert [one.holds_back for one in bench.sinks.reports()] == [[], []]


def test_what_waits_is_told_of_each(bench: Bench) -> None:
    """With the read models that are in it."""
    bench.put("rooms-1", 9)
    search, tables = bench.sinks.reports()
    assert (search.read_models, tables.read_models) == (["hotels"], ["lists", "rooms"])
    assert (search.queue_bytes, tables.queue_bytes) == (0, SIZE_BYTES)


def test_it_is_as_far_behind_as_the_slowest_of_its_read_models(bench: Bench) -> None:
    """The other one isn't, and before anything is known nothing is said."""
    assert [one.delays for one in bench.sinks.reports()] == [{}, {}]
    bench.telling.tell(moved=False)
    bench.put("rooms-1", 9)
    bench.telling.tell(moved=True)
    bench.delays.sampled(ClockSample(time.time() - 60, Position(9), 0.0))
    time.sleep(0.05)
    search, tables = bench.sinks.reports()
    assert search.delays["indexed"] == 0
    assert tables.delays["indexed"] >= 0.05


def test_of_the_only_sink_nothing_is_told_apart() -> None:
    """All else tells of it."""
    places = dict.fromkeys(NAMES, "")
    lanes, loading = lane_groups(places, 1, 1_000_000, lambda _batch, _sent_at: 0.0)
    progress = Progress((*lanes, *loading))
    delays = Delays(lambda *_: None)
    assert EachSink(places, NAMES, progress, (lanes, loading), delays).reports() == []
