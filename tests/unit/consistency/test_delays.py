"""What all threads tell of the stages, and what is shown of it."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.consistency.delays import PIPELINE, STAGES, Delays
from cdc_daemon.events import Position
from cdc_daemon.ports import ClockSample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.consistency.latency import Transaction


class Bench:
    """Delays, and the latencies that they told."""

    def __init__(self) -> None:
        self.latencies: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self.starts: defaultdict[tuple[str, str], list[Position]] = defaultdict(list)
        self.delays = Delays(self._passed)

    def _passed(
        self, projection: str, stage: str, transactions: Sequence[Transaction], now: float
    ) -> None:
        self.latencies[projection, stage] += [now - one.committed for one in transactions]
        self.starts[projection, stage] += [one.start for one in transactions]

    def sample(self, position: int, ahead: float = 0.0, round_trip: float = 0.0) -> None:
        """The source's clock is `ahead`."""
        self.delays.sampled(ClockSample(time.time() + ahead, Position(position), round_trip))

    def delay(self, stage: str) -> float:
        """Must be known."""
        delay = self.delays.delay(stage)
        assert delay is not None
        return delay


@pytest.fixture
def bench() -> Bench:
    """Nothing is known yet."""
    return Bench()


def test_a_transaction_passes_one_stage_after_the_other(bench: Bench) -> None:
    """It is received when it is told; each stage that it has not passed is as old as its commit."""
    bench.sample(4, ahead=3600)
    bench.delays.advanced(**dict.fromkeys(STAGES, Position(4)))
    bench.delays.committed(Position(7), time.time() + 3600 - 5)
    assert bench.latencies[PIPELINE, "received"] == [pytest.approx(5, abs=0.5)]
    for at, stage in enumerate(STAGES[1:], 1):
        for later in STAGES[at:]:
            assert bench.delay(later) == pytest.approx(5, abs=0.5)
        bench.delays.advanced(**{stage: Position(7)})
        assert bench.latencies[PIPELINE, stage] == [pytest.approx(5, abs=0.5)]
    bench.sample(7, ahead=3600)
    assert all(bench.delay(stage) < 1 for stage in STAGES)


def test_what_comes_again_on_another_connection_is_counted_once(bench: Bench) -> None:
    """A lost connection sends what was received, and not written, a second time."""
    bench.sample(1)
    for position in (5, 6, 5, 6, 7):
        bench.delays.committed(Position(position), time.time())
    bench.delays.advanced(searchable=Position(7))
    assert len(bench.latencies[PIPELINE, "searchable"]) == 3


def test_a_transaction_from_before_the_first_sample_counts_by_our_own_clock(bench: Bench) -> None:
    """Nothing else is known of the source's clock."""
    bench.delays.committed(Position(5), time.time() - 60)
    assert bench.delays.delay() is None
    bench.sample(9)
    assert bench.delay("searchable") == pytest.approx(60, abs=0.5)


def test_what_comes_before_a_transaction_is_known(bench: Bench) -> None:
    """Where the source says it, and otherwise what was received before."""
    bench.delays.advanced(received=Position(4))
    bench.delays.committed(Position(107), time.time(), start=Position(100))
    bench.delays.committed(Position(200), time.time())
    bench.delays.advanced(searchable=Position(200))
    assert bench.starts[PIPELINE, "searchable"] == [100, 107]


def test_a_keepalive_resets_nothing(bench: Bench) -> None:
    """Its position is the decoder's: what was committed behind it is as late as before."""
    bench.sample(100)
    bench.delays.committed(Position(20), time.time() - 30)
    bench.delays.advanced(received=Position(60), projected=Position(10))
    assert bench.delay("projected") == pytest.approx(30, abs=0.5)
    bench.delays.advanced(projected=Position(60), indexed=Position(60), searchable=Position(60))
    before = bench.delay("received")
    time.sleep(0.05)
    assert bench.delay("received") - before >= 0.05, "the sample's position lies further on"


def test_readings_are_of_every_stage(bench: Bench) -> None:
    """Unknown is none, not nought."""
    readings = bench.delays.readings()
    assert [(one.projection, one.stage) for one in readings] == [(PIPELINE, one) for one in STAGES]
    assert {(one.delay, one.maximum, one.bound, one.watermark) for one in readings} == {
        (None, None, None, None)
    }
    bench.sample(5, ahead=1000)
    bench.delays.advanced(received=Position(5))
    received, projected, *_ = bench.delays.readings()
    assert received.watermark == pytest.approx(time.time() + 1000, abs=1)
    assert received.bound == pytest.approx(0, abs=0.5)
    assert (projected.watermark, projected.bound) == (None, None)


def test_the_offset_of_the_clocks_has_the_round_trip_as_its_bound(bench: Bench) -> None:
    """Half of it, either way."""
    assert bench.delays.clock_offset_seconds is None
    bench.sample(1, ahead=100, round_trip=0.5)
    assert bench.delays.clock_error_seconds == 0.25
    assert bench.delays.clock_offset_seconds == pytest.approx(100, abs=0.3)


def test_each_read_model_is_as_late_as_what_has_changed_it(bench: Bench) -> None:
    """One that a transaction doesn't change isn't late by it, and counts none of its latency."""
    bench.sample(1)
    bench.delays.each_advanced({name: (Position(1), Position(1)) for name in ("hotels", "rooms")})
    bench.sample(1)
    bench.delays.committed(Position(7), time.time() - 30)
    bench.delays.changes(["hotels"])
    assert bench.delays.delay("searchable", "rooms") == pytest.approx(0, abs=0.5)
    assert bench.delays.delay("searchable", "hotels") == pytest.approx(30, abs=0.5)
    bench.delays.each_advanced(
        {"hotels": (Position(7), Position(1)), "rooms": (Position(7), Position(7))}
    )
    assert bench.latencies["hotels", "indexed"] == [pytest.approx(30, abs=0.5)]
    assert ("hotels", "searchable") not in bench.latencies
    bench.delays.each_advanced(dict.fromkeys(("hotels", "rooms"), (Position(7), Position(7))))
    assert bench.latencies["hotels", "searchable"] == [pytest.approx(30, abs=0.5)]
    assert ("rooms", "searchable") not in bench.latencies


def test_a_read_model_that_is_not_searched_has_no_delay(bench: Bench) -> None:
    """None before it is told, and none again when it is loaded anew."""
    bench.sample(1)
    assert bench.delays.delay("searchable", "hotels") is None
    bench.delays.each_advanced({"hotels": (Position(1), Position(1))})
    assert bench.delays.delay("searchable", "hotels") is None, "no sample was taken since"
    bench.sample(1)
    assert bench.delays.delay("searchable", "hotels") == pytest.approx(0, abs=0.5)
    assert {one.projection for one in bench.delays.readings()} == {PIPELINE, "hotels"}
    bench.delays.each_advanced({})
    assert bench.delays.delay("searchable", "hotels") is None
    assert {one.projection for one in bench.delays.readings()} == {PIPELINE}


def test_what_comes_again_changes_nothing_again(bench: Bench) -> None:
    """On another connection: it was counted."""
    bench.delays.each_advanced({"hotels": (Position(1), Position(1))})
    for position in (5, 5):
        bench.delays.committed(Position(position), time.time())
        bench.delays.changes(["hotels"])
    bench.delays.each_advanced({"hotels": (Position(5), Position(5))})
    assert len(bench.latencies["hotels", "searchable"]) == 1
