"""Up to where somebody waits for searches: that much is written and refreshed without delay.

Whoever waits says so once, and nobody takes it back: what is passed has no effect any more.
"""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from cdc_daemon.events import NOWHERE, Position

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdc_daemon.delivery.lane import Batch

MOST_AWAITED: Final = 10_000
"""Beyond that every second position is forgotten: the next one that is awaited brings it along."""


class Hurry:
    """The positions that are awaited, by index. Any thread calls it."""

    def __init__(self, indices: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._unread: list[Position] = []
        self._undurable: dict[str, list[Position]] = {index: [] for index in indices}
        self._highest = dict.fromkeys(self._undurable, NOWHERE)

    def up_to(self, position: Position, indices: Iterable[str] | None = None) -> None:
        """Somebody waits for what was committed up to here; for all of it, or in these indices."""
        with self._lock:
            _add(self._unread, position)
            for index in self._undurable if indices is None else indices:
                _add(self._undurable[index], position)
                self._highest[index] = max(self._highest[index], position)

    def take_read(self, received: Position) -> bool:
        """Whether anything of this is awaited, and wasn't when it was asked before."""
        return bool(self._unread) and self._taken(self._unread, received) > NOWHERE

    def take_durable(self, index: str, durable: Position) -> Position:
        """The highest that is awaited of this, and wasn't when it was asked before; or NOWHERE."""
        return self._taken(self._undurable[index], durable)

    def awaits(self, index: str) -> bool:
        """Whether anything is awaited in the index that isn't known to be durable."""
        return bool(self._undurable[index])

    def covers(self, batch: Batch) -> bool:
        """Whether somebody may wait for a part of this batch."""
        return any(batch.after < self._highest[index] for index in batch.by_index)

    def _taken(self, awaited: list[Position], reached: Position) -> Position:
        highest = NOWHERE
        with self._lock:
            while awaited and awaited[0] <= reached:
                highest = heappop(awaited)
        return highest


def _add(awaited: list[Position], position: Position) -> None:
    heappush(awaited, position)
    if len(awaited) > MOST_AWAITED:
        awaited.sort()
        del awaited[::2]
