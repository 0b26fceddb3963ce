"""Which step is reached by what the source keeps: pure, and quiet about what hovers at a bound."""

from __future__ import annotations

import pytest

from cdc_daemon.consistency.retention import RetentionAlarm
from cdc_daemon.ports import RetentionBounds, RetentionStep

BOUNDS = RetentionBounds(warn_bytes=100, critical_bytes=1000, limit_bytes=5000)


@pytest.mark.parametrize(
    ("kept", "step"),
    [(0, "QUIET"), (99, "QUIET"), (100, "WARN"), (1000, "CRITICAL"), (5000, "LIMIT")],
)
def test_a_step_begins_at_its_bound(kept: int, step: str) -> None:
    """From its bytes on, and not before."""
    assert RetentionAlarm().sampled(kept, BOUNDS) is RetentionStep[step]


def test_a_step_that_is_not_set_is_never_reached() -> None:
    """Without bounds there is no alarm; without a limit none is reached."""
    assert RetentionAlarm().sampled(10**15, RetentionBounds()) is RetentionStep.QUIET
    unlimited = RetentionBounds(warn_bytes=100, critical_bytes=1000)
    assert RetentionAlarm().sampled(10**15, unlimited) is RetentionStep.CRITICAL


def test_what_hovers_around_a_bound_stays_on_its_step() -> None:
    """A step is over only well below its bound, and then down to where it is."""
    alarm = RetentionAlarm()
    steps = [alarm.sampled(kept, BOUNDS).name for kept in (1000, 999, 901, 1001, 899, 95, 89)]
    assert steps == ["CRITICAL", "CRITICAL", "CRITICAL", "CRITICAL", "WARN", "WARN", "QUIET"]
    assert alarm.sampled(6000, BOUNDS) is RetentionStep.LIMIT
    assert alarm.sampled(0, BOUNDS) is RetentionStep.QUIET
