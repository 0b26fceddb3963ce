"""Transactions on their way to a stage: which it has passed, and which waits longest. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.events import NOWHERE

if TYPE_CHECKING:
    from cdc_daemon.events import Position

MOST_IN_FLIGHT: Final = 20_000
"""At this many every second one is let go, and from then on only half as many are followed: the
memory that a backlog takes is bounded, however long it is. The oldest one stays."""


class Transaction(NamedTuple):
    """One that was committed in the source."""

    position: Position
    committed: float
    """When, in the daemon's monotonic clock."""
    traceparent: str = ""
    """The trace that it belongs to; empty where none is known."""
    start: Position = NOWHERE
    """Whatever was committed before it lies at or below."""


class StageLatency:
    """Transactions that a stage has not passed yet. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._pending: deque[Transaction] = deque()
        self._seen = 0
        self._stride = 1

    def committed(self, transaction: Transaction) -> None:
        """It was received; in the order of positions."""
        self._seen += 1
        if self._seen % self._stride:
            return
        self._pending.append(transaction)
        if len(self._pending) >= MOST_IN_FLIGHT:
            self._pending = deque(list(self._pending)[::2])
            self._stride *= 2

    def passed(self, position: Position) -> list[Transaction]:
        """Those up to `position`, oldest first; each is told once."""
        passed = []
        while self._pending and self._pending[0].position <= position:
            passed.append(self._pending.popleft())
        if not self._pending:
            self._stride = 1
        return passed

    @property
    def oldest(self) -> Transaction | None:
        """The first that the stage has not passed."""
        return self._pending[0] if self._pending else None
