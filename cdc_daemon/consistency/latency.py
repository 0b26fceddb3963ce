"""Per transaction: how long from its commit until each stage has passed it. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from cdc_daemon.events import Position

MOST_IN_FLIGHT: Final = 20_000
"""Beyond this only every tenth transaction is followed, so that a backlog takes no memory."""

THINNING: Final = 10


class _Pending(NamedTuple):
    position: Position
    committed: float


class StageLatency:
    """Transactions that a stage has not passed yet. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._pending: deque[_Pending] = deque()
        self._skipped = 0

    def committed(self, position: Position, committed: float) -> None:
        """A transaction was committed at `committed`, in the clock that `passed` is given."""
        if len(self._pending) >= MOST_IN_FLIGHT:
            self._skipped += 1
            if self._skipped % THINNING:
                return
        self._pending.append(_Pending(position, committed))

    def passed(self, position: Position, now: float) -> list[float]:
        """The latencies of the transactions up to `position`, oldest first."""
        latencies = []
        while self._pending and self._pending[0].position <= position:
            latencies.append(max(0.0, now - self._pending.popleft().committed))
        return latencies
