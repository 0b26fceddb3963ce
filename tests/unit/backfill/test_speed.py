"""Rate and time left of a load, over the last seconds."""

from __future__ import annotations

import pytest

from cdc_daemon.backfill.speed import SPAN_SECONDS, STEP_SECONDS, Speed


def test_nothing_is_known_at_first() -> None:
    """One sample is no rate."""
    speed = Speed()
    assert (speed.rows_per_second(), speed.seconds_left()) == (None, None)
    speed.sampled(10.0, 0, 100)
    speed.sampled(10.0 + STEP_SECONDS / 2, 900, 90)
    assert (speed.rows_per_second(), speed.seconds_left()) == (None, None)


def test_an_even_load() -> None:
    """A tenth of it in five seconds: the rest takes forty-five."""
    speed = Speed()
    speed.sampled(0.0, 0, 1000)
    speed.sampled(5.0, 10_000, 900)
    assert speed.rows_per_second() == 2000
    assert speed.seconds_left() == pytest.approx(45)


def test_what_is_long_ago_counts_no_more() -> None:
    """After a pause the rate falls to nothing, and nobody knows how long the rest takes."""
    speed = Speed()
    for second in range(10):
        speed.sampled(float(second), 1000 * second, 1000 - second)
    assert speed.rows_per_second() == 1000
    for second in range(10, 11 + int(SPAN_SECONDS)):
        speed.sampled(float(second), 9000, 991)
    assert (speed.rows_per_second(), speed.seconds_left()) == (0, None)
    assert len(speed._samples) <= SPAN_SECONDS / STEP_SECONDS + 2


def test_a_table_that_was_rewritten_has_more_left_than_before() -> None:
    """Then nobody knows, for a while."""
    speed = Speed()
    speed.sampled(0.0, 0, 100)
    speed.sampled(1.0, 50, 400)
    assert speed.seconds_left() is None
