"""The source's clock, for a source that doesn't follow the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Position
    from cdc_daemon.ports import ClockSample, SlotHealth, SourceClock, Standing


class PollingClock:
    """A `SourceClock`: one thread owns it. The source keeps nothing for us, nor waits for us."""

    def __init__(self, clock: SourceClock, wanted: Callable[[Position], None]) -> None:
        """`wanted` is told what somebody waits for."""
        self._clock = clock
        self._wanted = wanted

    def sample(self) -> ClockSample:
        """As of now: the next poll gets there."""
        return self._clock.sample()

    def nudge(self) -> None:
        """Nothing that is written would bring the next poll any earlier."""

    def reach(self, position: Position) -> Position:
        """Where the log ends; the next poll gets there, at once where that may be asked for."""
        end = self._clock.reach(position)
        self._wanted(min(position, end))
        return end

    def slot_health(self) -> SlotHealth | None:
        """Nothing is kept for us."""
        return None

    def standing(self) -> Standing:
        """Nobody waits for us."""
        return self._clock.standing()

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        self._clock.close()
