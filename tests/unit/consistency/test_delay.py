"""The delay clock: right while idle, and rising by a second a second whatever stalls."""

from __future__ import annotations

from random import Random

import pytest

from cdc_daemon.consistency.delay import MOST_WAITING, Sample, StageDelay
from cdc_daemon.consistency.latency import MOST_IN_FLIGHT, StageLatency, Transaction
from cdc_daemon.consistency.offset import ClockOffset
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


def test_the_maximum_is_no_less_than_what_was_said_while_a_sample_hung() -> None:
    """Its answer came late, and is of a moment in between."""
    delay = StageDelay()
    delay.reached(Position(9), 0)
    sampled(delay, 10, 9)
    assert delay.delay(39.9) == pytest.approx(29.9)
    delay.sampled(Sample(25, 1025, Position(9)), 40)
    assert delay.maximum(40) == 30


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
    assert len(delay._largest._noted) < 100


def test_what_the_maximum_is_asked_of_is_the_largest_of_a_minute_in_any_order() -> None:
    """Rising, falling and equal latencies: only those are kept that can still be the maximum."""
    delay = StageDelay()
    sampled(delay, 0, 0)
    latencies = [0.5, 0.1, 0.3, 0.3, 0.2, 0.9, 0.1]
    for second, latency in enumerate(latencies, 1):
        sampled(delay, second, second)
        delay.reached(Position(second), second + latency)
        assert delay.maximum(second + latency) == pytest.approx(max(latencies[:second]))
    assert delay.maximum(6 + 0.9 + 60.05) == pytest.approx(60.05 - 0.1, abs=0.2)


def test_a_transaction_that_is_received_and_not_reached_makes_the_delay() -> None:
    """Its age counts from its commit, though every sample was reached: no sample lies behind it."""
    delay = StageDelay()
    sampled(delay, 10, 5)
    delay.reached(Position(5), 10)
    delay.committed(Transaction(Position(7), 10.2))
    assert delay.delay(10.9) == pytest.approx(0.7)
    passed = delay.reached(Position(7), 10.95)
    assert [one.position for one in passed] == [7]
    assert delay.delay(10.99) == pytest.approx(0.75), "how long the newest took"
    sampled(delay, 11, 7)
    assert delay.delay(11.5) == 0, "until a sample proves that nothing else is behind"


def test_a_backlog_is_as_old_as_its_oldest_transaction() -> None:
    """A daemon that was away for an hour shows an hour, and not how long it has been back."""
    delay = StageDelay()
    sampled(delay, 4000, 900)
    assert delay.delay(4000) == 0
    delay.committed(Transaction(Position(10), 400.0))
    delay.committed(Transaction(Position(20), 2000.0))
    assert delay.delay(4001) == 3601
    delay.reached(Position(10), 4001)
    assert delay.delay(4001) == 3601, "the newest that was reached took so long"
    delay.reached(Position(20), 4002)
    assert delay.delay(4002) == 2002
    assert delay.delay(4100) == 2100, "more was waiting already: it rises until that is reached"
    delay.reached(Position(900), 4003)
    assert delay.delay(4003) == 3
    assert delay.maximum(4003) == 3601


def test_what_stands_next_is_as_old_as_its_commit() -> None:
    """Where nothing lies between it and what was reached, not as old as what was reached last."""
    delay = StageDelay()
    sampled(delay, 10, 5)
    sampled(delay, 11, 9)
    delay.committed(Transaction(Position(7), 10.8, start=Position(6)))
    delay.reached(Position(5), 11.5)
    assert delay.delay(12) == 2, "something else may have been committed right after the sample"
    delay.reached(Position(6), 11.6)
    assert delay.delay(12) == pytest.approx(1.5), "how long the sample took"
    assert delay.delay(20) == pytest.approx(9.2)


def test_a_clock_that_is_ahead_makes_no_delay_below_nothing() -> None:
    """A commit time in the future, by the error of the offset, is now."""
    delay = StageDelay()
    sampled(delay, 10, 5)
    delay.committed(Transaction(Position(4), 10.5))
    delay.reached(Position(5), 10.1)
    assert delay.delay(10.1) == 0
    assert delay.maximum(10.1) == pytest.approx(0.1)


def test_the_bound_is_the_age_of_the_watermark() -> None:
    """What happened since the newest sample that was reached nobody knows: it rises from there."""
    delay = StageDelay()
    assert delay.bound(5) is None
    sampled(delay, 10, 5)
    assert delay.bound(10.5) is None
    delay.reached(Position(5), 10.2)
    assert delay.bound(10.9) == pytest.approx(0.9)
    sampled(delay, 11, 6)
    assert delay.bound(11.5) == 1.5


def test_a_transaction_is_passed_once() -> None:
    """Oldest first; the first that wasn't is known."""
    latency = StageLatency()
    transactions = [Transaction(Position(at), time) for at, time in ((5, 1.0), (7, 2.0), (9, 99.0))]
    for transaction in transactions:
        latency.committed(transaction)
    assert latency.passed(Position(4)) == []
    assert latency.oldest == transactions[0]
    assert latency.passed(Position(7)) == transactions[:2]
    assert latency.passed(Position(20)) == transactions[2:]
    assert latency.passed(Position(20)) == []
    assert latency.oldest is None


def test_a_backlog_of_millions_takes_little_memory() -> None:
    """However many are on their way few are followed, the first of them among these."""
    latency = StageLatency()
    for position in range(1, 500_000):
        latency.committed(Transaction(Position(position), 0.0))
    assert len(latency._pending) <= MOST_IN_FLIGHT
    assert latency.oldest is not None
    assert latency.oldest.position == 1
    passed = latency.passed(Position(500_000))
    assert len(passed) > MOST_IN_FLIGHT / 4
    last = Transaction(Position(600_000), 0.0)
    latency.committed(last)
    assert latency.passed(Position(600_000)) == [last], "after it every one is followed again"


def test_the_offset_of_two_clocks_is_known_within_its_bound() -> None:
    """However round trips are divided between there and back, the bound holds."""
    offset = ClockOffset()
    assert offset.seconds is None
    random = Random(1)
    for _ in range(1000):
        there, back = random.expovariate(1000), random.expovariate(1000)
        # The source's clock is 30 s ahead, and was read somewhere on the way.
        offset.measured(30 + (there - back) / 2, (there + back) / 2)
        assert offset.seconds is not None
        assert abs(offset.seconds - 30) <= offset.error_seconds
    assert offset.error_seconds < 0.005


def test_a_clock_that_was_set_is_believed_at_once() -> None:
    """A reading that contradicts the average by more than both bounds counts alone."""
    offset = ClockOffset()
    offset.measured(0.0, 0.001)
    offset.measured(0.5, 0.002)
    assert (offset.seconds, offset.error_seconds) == (0.5, 0.002)
    offset.measured(0.501, 0.002)
    assert offset.seconds == pytest.approx(0.5002)
    offset.measured(1.5, 2.0)
    assert offset.seconds == pytest.approx(0.5002, abs=0.001), "a reading that hung says little"
