"""When polls are due, and which have been missed."""

from __future__ import annotations

import pytest

from connectors.polling.schedule import Cron, Interval, read_cron, read_schedule
from connectors.polling.timetable import Timetable

MIDNIGHT = 1_700_006_400.0
"""2023-11-15 00:00 in UTC."""


@pytest.mark.parametrize(
    ("text", "schedule"),
    [("30s", Interval(30)), ("5 m", Interval(300)), ("*/5 * * * *", Cron("*/5 * * * *"))],
)
def test_a_schedule_is_a_duration_or_a_cron_expression(text: str, schedule: object) -> None:
    """As people write them."""
    assert read_schedule(text) == schedule


@pytest.mark.parametrize("text", ["", "0s", "soon", "* * * *", "61 * * * *", "0 0 30 2 *"])
def test_what_is_neither_is_refused(text: str) -> None:
    """Also a day that never comes."""
    with pytest.raises(ValueError, match="expected"):
        read_schedule(text)
    with pytest.raises(ValueError, match="expected"):
        read_cron(text)


def test_cron_goes_by_utc() -> None:
    """Whatever the machine's own time zone is."""
    assert Cron("30 1 * * *").after(MIDNIGHT) == MIDNIGHT + 5400
    assert Cron("30 1 * * *").after(MIDNIGHT + 5400) == MIDNIGHT + 5400 + 86400


def test_the_first_poll_is_due_at_once_and_the_next_after_the_interval() -> None:
    """Counted from where one begins."""
    timetable = Timetable(Interval(30))
    assert timetable.wait_seconds(0, awaited=False) == 0
    timetable.begin(0)
    assert timetable.wait_seconds(10, awaited=False) == 20
    timetable.begin(30)
    assert timetable.missed == 0


def test_a_poll_that_takes_longer_is_not_doubled() -> None:
    """What should have begun meanwhile is counted."""
    timetable = Timetable(Interval(30))
    timetable.begin(0)
    assert timetable.wait_seconds(95, awaited=False) == 0
    timetable.begin(95)
    assert timetable.missed == 2
    assert timetable.wait_seconds(95, awaited=False) == 30


def test_a_poll_that_somebody_waits_for_begins_soon() -> None:
    """But no sooner after the one before than a pause."""
    timetable = Timetable(Interval(3600))
    timetable.begin(0)
    assert timetable.wait_seconds(0, awaited=True) == 0.5
    assert timetable.wait_seconds(9, awaited=True) == 0


def test_a_start_polls_at_once() -> None:
    """Whenever the next poll would have been."""
    timetable = Timetable(Interval(3600))
    timetable.begin(0)
    timetable.again()
    assert timetable.wait_seconds(1, awaited=False) == 0
