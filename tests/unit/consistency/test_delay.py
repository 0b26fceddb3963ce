"""The delay clock: right while idle, and rising by a second a second whatever stalls."""

from __future__ import annotations

import pytest

from cdc_daemon.consistency.delay import MOST_WAITING, Sample, StageDelay
from cdc_daemon.consistency.latency import MOST_IN_FLIGHT, StageLatency
from cdc_daemon.events import Position


def sampled(delay: StageDelay, at: float, position: int) -> None:
    """A sample is taken at `at`, of a source whose clock is 1000 s ahead."""
    delay.sampled(Sample(at, at + 1000, Position(position)), at)


def test_nothing_is_known_before_the_first_sample() -> None:
    """No number is better than a wrong one."""
    delay = StageDelay()
    assert (delay.delay(5), delay.maximum(5), delay.watermark) == (None, None, None)


def test_an_idle_source_has_no_delay() -> None:
    """Samples at a position that was reached before are reached as they come."""
    delay = StageDelay()
    delay.reached(Position(50), 0)
    for second in range(300):
        sampled(delay, second, 50)
        assert delay.delay(second + 0.9) == 0
    assert delay.watermark == 1299
    assert delay.maximum(300) == 0


def test_the_delay_is_how_long_the_last_sample_took() -> None:
    """A stage that keeps up by 0.2 s shows 0.2 s, not the age of the last sample."""
    delay = StageDelay()
    for second in range(5):
        sampled(delay, second, second + 1)
        delay.reached(Position(second + 1), second + 0.2)
    assert delay.delay(4.9) == pytest.approx(0.2)
    assert delay.watermark == 1004


def test_a_stage_that_stalls_falls_behind_by_a_second_a_second() -> None:
    """The oldest sample that isn't reached counts, and not the newest."""
    delay = StageDelay()
    delay.reached(Position(1), 0)
    for second in range(100):
        sampled(delay, second, second + 1)
        if second > 1:
            assert delay.delay(second + 0.5) == pytest.approx(second - 0.5)
    assert delay.watermark == 1000


def test_the_delay_rises_while_sampling_fails() -> None:
    """Two missed samples are forgiven; then the age of the newest one counts."""
    delay = StageDelay()
    delay.reached(Position(9), 0)
    sampled(delay, 10, 9)
    assert delay.delay(11.9) == 0
    assert delay.delay(13) == 3
    assert delay.delay(70) == 60


def test_the_maximum_remembers_a_time_without_samples() -> None:
    """A source that was away for 30 s is a spike of the last minute, though it is back."""
    delay = StageDelay()
    delay.reached(Position(9), 0)
    sampled(delay, 10, 9)
    sampled(delay, 40, 9)
    assert delay.delay(40) == 0
    assert delay.maximum(41) == 30
    assert delay.maximum(101) == pytest.approx(61)


def test_the_maximum_covers_a_minute_and_no_more() -> None:
    """A spike stays for 60 s after it ended."""
    delay = StageDelay()
    sampled(delay, 0, 5)
    delay.reached(Position(5), 8)
    for second in range(8, 80):
        sampled(delay, second, 5)
        assert delay.maximum(second) == (8 if second <= 68 else 0)


def test_samples_of_a_long_stall_are_thinned_out_and_the_oldest_stays() -> None:
    """A day without progress takes little memory, and the delay is as large as it is."""
    delay = StageDelay()
    for second in range(5 * MOST_WAITING):
        sampled(delay, second, second + 1)
    assert len(delay._waiting) <= MOST_WAITING
    end = 5 * MOST_WAITING
    assert delay.delay(end) == end
    delay.reached(Position(end), end)
    assert delay.delay(end) is not None
    assert delay.oldest_waiting is None or delay.oldest_waiting.position > end


def test_what_the_maximum_remembers_is_bounded_though_nobody_asks() -> None:
    """A daemon that is never scraped doesn't grow."""
    delay = StageDelay()
    for second in range(10_000):
        sampled(delay, second, 0)
    assert len(delay._recent) < 100


def test_a_transaction_is_measured_when_the_stage_passes_it() -> None:
    """Latencies come once each, oldest first, never negative."""
    latency = StageLatency()
    for position, committed in ((5, 1.0), (7, 2.0), (9, 99.0)):
        latency.committed(Position(position), committed)
    assert latency.passed(Position(4), 3.0) == []
    assert latency.passed(Position(7), 3.0) == [2.0, 1.0]
    assert latency.passed(Position(20), 3.0) == [0.0]
    assert latency.passed(Position(20), 3.0) == []


def test_a_backlog_of_millions_takes_little_memory() -> None:
    """However many are on their way few are followed, the first of them among these."""
    latency = StageLatency()
    for position in range(1, 500_000):
        latency.committed(Position(position), 0.0)
    assert len(latency._pending) <= MOST_IN_FLIGHT
    passed = latency.passed(Position(500_000), 1.0)
    assert len(passed) > MOST_IN_FLIGHT / 4
    latency.committed(Position(600_000), 0.0)
    assert latency.passed(Position(600_000), 1.0) == [1.0], "after it every one is followed again"
