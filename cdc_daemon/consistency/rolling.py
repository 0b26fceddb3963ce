"""The largest of the last minute, in little memory. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

MAXIMUM_OVER_SECONDS: Final = 60.0


class RollingMaximum:
    """Of values that are noted one after the other. Not thread-safe."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, float]] = deque()
        """Times with values, which fall: what is no larger than a later one never counts again."""

    def note(self, now: float, value: float) -> None:
        """One more; forgets what is too old, so that it stays small when nobody asks."""
        while self._noted and self._noted[-1][1] <= value:
            self._noted.pop()
        self._noted.append((now, value))
        self._forget(now)

    def of(self, now: float, current: float) -> float:
        """The largest, `current` included."""
        self._forget(now)
        return max(current, self._noted[0][1]) if self._noted else current

    def _forget(self, now: float) -> None:
        while self._noted and self._noted[0][0] < now - MAXIMUM_OVER_SECONDS:
            self._noted.popleft()
