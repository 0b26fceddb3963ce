"""Per transaction: how long from its commit until each stage has passed it. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from cdc_daemon.events import Position

MOST_IN_FLIGHT: Final = 20_000
"""At this many every second one is let go, and from then on only half as many are followed: the
memory that a backlog takes is bounded, however long it is."""


class _Pending(NamedTuple):
    position: Position
    committed: float


class StageLatency:
    """Transactions that a stage has not passed yet. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._pending: deque[_Pending] = deque()
        self._seen = 0
        self._stride = 1

    def committed(self, position: Position, committed: float) -> None:
        """A transaction was committed at `committed`, in the clock that `passed` is given."""
        self._seen += 1
        if self._seen % self._stride:
            return
        self._pending.append(_Pending(position, committed))
        if len(self._pending) >= MOST_IN_FLIGHT:
            self._pending = deque(list(self._pending)[::2])
            self._stride *= 2

    def passed(self, position: Position, now: float) -> list[float]:
        """The latencies of the transactions up to `position`, oldest first."""
        latencies = []
        while self._pending and self._pending[0].position <= position:
            latencies.append(max(0.0, now - self._pending.popleft().committed))
        if not self._pending:
            self._stride = 1
        return latencies
