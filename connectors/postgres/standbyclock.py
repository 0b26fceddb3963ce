"""The clock of a source that is a standby: time and position are those of its primary.

What the standby has not received, or not replayed, is late as well: only the primary knows of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.ports import ClockSample, SlotHealth, Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Position
    from connectors.postgres.clock import DatabaseClock, PostgresClock


class StandbyClock:
    """A `SourceClock`: one thread owns it. A standby that was promoted is its own primary."""

    def __init__(
        self, own: PostgresClock, primary: DatabaseClock, seen: Callable[[bool, int], None]
    ) -> None:
        self._own = own
        self._primary = primary
        self._seen = seen
        """Told whether the server is a standby, and which timeline its primary is in."""

    def sample(self) -> ClockSample:
        """The primary's time and flushed position. Raises RetryError if it can't be reached."""
        is_standby = self._own.is_standby()
        clock: DatabaseClock = self._primary if is_standby else self._own
        self._seen(is_standby, clock.timeline())
        return clock.sample()

    def nudge(self) -> None:
        """Write a message to the primary's log."""
        self._writing().nudge()

    def reach(self, position: Position) -> Position:
        """Where the primary's log ends; what of it isn't flushed is flushed by a message."""
        return self._writing().reach(position)

    def slot_health(self) -> SlotHealth | None:
        """What the standby keeps for us."""
        return self._own.slot_health()

    def standing(self) -> Standing:
        """Commits wait for streams of the primary only."""
        return Standing() if self._own.is_standby() else self._own.standing()

    def _writing(self) -> DatabaseClock:
        return self._primary if self._own.is_standby() else self._own

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        self._own.close()
        self._primary.close()
