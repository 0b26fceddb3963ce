"""Up to where somebody waits for searches: that much is written and refreshed without delay.

A position counts once the stream has come there. Until then it can be taken back: what never comes
must not hurry anything. What is passed has no effect any more.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING, Final

from cdc_daemon.events import NOWHERE, Position

if TYPE_CHECKING:
    from collections.abc import Collection

    from cdc_daemon.delivery.lane import Batch

MOST_AWAITED: Final = 1_000
"""Of an index, that isn't known to be durable. Beyond that every second position is forgotten, but
for the highest: the next one that is left brings it along."""


class Hurry:
    """The positions that are awaited, by index. Any thread calls it."""

    def __init__(self, indices: Collection[str]) -> None:
        self._lock = threading.Lock()
        self._all = tuple(indices)
        self._unread: list[tuple[Position, tuple[str, ...]]] = []
        """In order; as many as whoever waits hasn't taken back."""
        self._undurable: dict[str, list[Position]] = {index: [] for index in indices}
        """In order, each once."""
        self._highest = dict.fromkeys(indices, NOWHERE)

    def up_to(self, position: Position, indices: Collection[str] | None = None) -> None:
        """Somebody waits for what was committed up to here; for all of it, or in these indices."""
        with self._lock:
            insort(self._unread, (position, self._named(indices)))

    def take_back(self, position: Position, indices: Collection[str] | None = None) -> None:
        """Whoever has said so waits no longer. Without effect where it was read meanwhile."""
        one = (position, self._named(indices))
        with self._lock:
            at = bisect_left(self._unread, one)
            if self._unread[at : at + 1] == [one]:
                del self._unread[at]

    def take_read(self, received: Position) -> bool:
        """Whether anything of this is awaited, and wasn't when it was asked before."""
        if not self._unread:
            return False
        with self._lock:
            read = 0
            while read < len(self._unread) and self._unread[read][0] <= received:
                self._note(*self._unread[read])
                read += 1
            del self._unread[:read]
            return read > 0

    def take_durable(self, index: str, durable: Position) -> Position:
        """The highest that is awaited of this, and wasn't when it was asked before; or NOWHERE."""
        with self._lock:
            awaited = self._undurable[index]
            passed = bisect_right(awaited, durable)
            highest = awaited[passed - 1] if passed else NOWHERE
            del awaited[:passed]
            return highest

    def awaits(self, index: str) -> bool:
        """Whether anything is awaited in the index that isn't known to be durable."""
        return bool(self._undurable[index])

    def covers(self, batch: Batch) -> bool:
        """Whether somebody may wait for a part of this batch."""
        return any(batch.after < self._highest[index] for index in batch.by_index)

    def _named(self, indices: Collection[str] | None) -> tuple[str, ...]:
        return self._all if indices is None else tuple(indices)

    def _note(self, position: Position, indices: tuple[str, ...]) -> None:
        for index in indices:
            self._highest[index] = max(self._highest[index], position)
            awaited = self._undurable[index]
            at = bisect_left(awaited, position)
            if awaited[at : at + 1] != [position]:
                awaited.insert(at, position)
            if len(awaited) > MOST_AWAITED:
                del awaited[:-1:2]
