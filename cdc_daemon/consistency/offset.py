"""The source's clock minus the daemon's, and how far that can be wrong. Pure.

A reading is true to half of its round trip. Readings are averaged, and so are their bounds, one
that took longer counting less: as long as both clocks run, the average is within the average bound.
A reading that contradicts it says that a clock was set: then the reading alone counts.
"""

from __future__ import annotations

from typing import Final

WEIGHT_OF_THE_NEWEST: Final = 0.2
"""Of one that is as good as those before. Clocks drift by less than 0.1 ms in a second."""


class ClockOffset:
    """Measured again and again; any clock may be the daemon's, as long as it is always the same."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        """None before the first reading."""
        self.error_seconds = 0.0

    def measured(self, seconds: float, error_seconds: float) -> None:
        """One reading: the offset, and half of the round trip."""
        known = self.seconds
        if known is None or abs(seconds - known) > error_seconds + self.error_seconds:
            self.seconds, self.error_seconds = seconds, error_seconds
            return
        is_worse = error_seconds > self.error_seconds
        weight = WEIGHT_OF_THE_NEWEST * (self.error_seconds / error_seconds if is_worse else 1)
        self.seconds = known + weight * (seconds - known)
        self.error_seconds += weight * (error_seconds - self.error_seconds)
