"""When the next poll is due, and which have been missed. Pure: times are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connectors.polling.schedule import missed

if TYPE_CHECKING:
    from connectors.polling.schedule import Schedule

PAUSE_SECONDS: Final = 0.5
"""Polls that somebody waits for are no nearer to each other: all who wait share them."""


class Timetable:
    """Of one source. The first poll is due at once."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._due: float | None = None
        self._begun = 0.0
        self.missed = 0
        """Polls that should have begun while another one went on."""

    def again(self) -> None:
        """The next poll is due at once."""
        self._due = None

    def wait_seconds(self, now: float, *, awaited: bool) -> float:
        """How long there is nothing to do; 0 where a poll is due."""
        if self._due is None:
            return 0.0
        due = min(self._due, self._begun + PAUSE_SECONDS) if awaited else self._due
        return max(0.0, due - now)

    def begin(self, now: float) -> None:
        """A poll begins now."""
        if self._due is not None:
            self.missed += missed(self._schedule, self._due, now)
        self._begun, self._due = now, self._schedule.after(now)
