"""How far the pipeline is: received, durable, searchable. Pure bookkeeping, called by any thread.

The order of looking makes it right without a lock over everything: what was received is read
first, then the bounds, then what is still pending, so that nothing slips between them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from cdc_daemon.events import NOWHERE, Position

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdc_daemon.delivery.lane import Batch, Lane


EVERYWHERE: Final = Position(2**64)
"""Above all positions: where there is no such bound."""


class Progress:
    """Positions of one pipeline; each of them only grows."""

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self._lanes = lanes
        self._lock = threading.Lock()
        self._dirty: dict[str, Position] = {}
        self._refreshing: dict[str, Position] = {}
        self._durable = NOWHERE
        self._searchable = NOWHERE
        self.received = NOWHERE
        """Everything up to here has been put into lanes. Only the reader sets it."""
        self.held: Position | None = None
        """No more than this may be confirmed, durable or not. Only the reader sets it."""
        self.unfilled: Position | None = None
        """Beyond this documents lack a value. Only the reader sets it."""
        self.incomplete: Position | None = None
        """Beyond this some documents are still to be made of wide changes. Only the reader sets it.
        """
        self.synced: Position = EVERYWHERE
        """Beyond this the state of joined read models isn't on disk. Only the reader sets it."""
        self.building: frozenset[str] = frozenset()
        """Indices that nobody searches yet: they are part of no position but the durable one."""

    def durable(self) -> Position:
        """Everything up to here is in the sink, or a dead letter."""
        received = self.received
        # Before the lanes: a bound is lifted once what it stood for is in one of them.
        bounds = [self.unfilled, self.incomplete]
        pending = [lane.pending_from() for lane in self._lanes]
        lowest = (after for after in (*bounds, *pending) if after is not None)
        reached = min(received, min(lowest, default=received))
        with self._lock:
            self._durable = max(self._durable, reached)
            return self._durable

    def confirmable(self) -> Position:
        """Everything up to here may be forgotten by the source."""
        durable = min(self.durable(), self.synced)
        return durable if self.held is None else min(durable, self.held)

    def reachable(self) -> Position:
        """What can be durable without anything more being read from the source."""
        bounds = (self.received, self.unfilled, self.incomplete)
        return min(bound for bound in bounds if bound is not None)

    def searchable(self) -> Position:
        """Everything up to here can be found by a search."""
        durable = self.durable()
        with self._lock:
            hidden = [*self._dirty.values(), *self._refreshing.values()]
            reached = min(durable, *hidden) if hidden else durable
            self._searchable = max(self._searchable, reached)
            return self._searchable

    def written(self, batch: Batch) -> None:
        """Note what `batch` wrote; called before the lane is told that it is done."""
        with self._lock:
            for index in batch.by_index.keys() - self.building:
                self._dirty[index] = min(batch.after, self._dirty.get(index, batch.after))

    def touched(self, index: str) -> None:
        """Note that the commit after `received` changed `index` by other means than a batch."""
        with self._lock:
            self._dirty[index] = min(self.received, self._dirty.get(index, self.received))

    def dirty(self) -> set[str]:
        """The indices that were written to since their last refresh began."""
        with self._lock:
            return set(self._dirty)

    def hidden(self) -> set[str]:
        """The indices that hold something which can't be found yet."""
        with self._lock:
            return {*self._dirty, *self._refreshing}

    def begin_refresh(self, indices: Iterable[str]) -> None:
        """What was written to `indices` until now is going to be searchable."""
        with self._lock:
            for index in indices:
                if index in self._dirty:
                    self._refreshing[index] = self._dirty.pop(index)

    def end_refresh(self, *, succeeded: bool) -> None:
        """The refresh has returned: what it covered is searchable, or as dirty as before."""
        with self._lock:
            if not succeeded:
                for index, first in self._refreshing.items():
                    self._dirty[index] = min(first, self._dirty.get(index, first))
            self._refreshing.clear()
