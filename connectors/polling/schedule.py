"""When polls are due: every so often, or as a cron expression says. Pure: times are given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from cronsim import CronSim, CronSimError

from cdc_daemon.quantities import seconds

MOST_COUNTED: Final = 10_000
"""Moments that were missed are counted one by one, and no further than this."""
_FIELDS: Final = 5
"""Of a cron expression: minute, hour, day, month, day of the week."""


class Schedule(Protocol):
    """Moments, as seconds since the epoch."""

    def after(self, moment: float) -> float:
        """The first moment after this one."""


@dataclass(frozen=True, slots=True)
class Interval:
    """So many seconds after the last time."""

    seconds: float

    def after(self, moment: float) -> float:
        """The interval later."""
        return moment + self.seconds


@dataclass(frozen=True, slots=True)
class Cron:
    """As cron has it, in UTC: a machine's own time zone is nobody's intention."""

    expression: str

    def after(self, moment: float) -> float:
        """The next time that the expression names."""
        then = datetime.fromtimestamp(moment, UTC)
        return next(CronSim(self.expression, then)).timestamp()


def read_cron(text: str) -> Cron:
    """A cron expression of five fields. Raises ValueError where it is none, or never comes."""
    expected = "expected a cron expression of five fields, such as */5 * * * *"
    if len(text.split()) != _FIELDS:
        raise ValueError(expected)
    try:
        next(CronSim(text, datetime.now(UTC)))
    except CronSimError as error:
        raise ValueError(f"{expected} ({str(error).lower()})") from error
    except StopIteration as error:
        raise ValueError(f"{expected} (this one never comes)") from error
    return Cron(text)


def read_interval(text: str | float) -> Interval:
    """A duration above 0. Raises ValueError where it is none."""
    interval = seconds(text)
    if interval <= 0:
        raise ValueError("expected a duration above 0 such as 30s")
    return Interval(interval)


def read_schedule(text: str | float) -> Schedule:
    """A duration, or a cron expression. Raises ValueError where it is neither."""
    is_cron = isinstance(text, str) and len(text.split()) > 2  # noqa: PLR2004 - `5 m` is a duration
    return read_cron(str(text)) if is_cron else read_interval(text)


def missed(schedule: Schedule, due: float, now: float) -> int:
    """How many moments have passed since the one that is served only now."""
    count = 0
    while count < MOST_COUNTED and (due := schedule.after(due)) <= now:
        count += 1
    return count
