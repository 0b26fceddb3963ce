"""A lane: the queue between the reader and one sender.

Operations of one document always go through the same lane, and a lane has one request in flight,
repeated until it is answered: so nothing overtakes. The reader fills an open batch; it is handed
over when it is large, or when the reader has nothing more to read.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdc_daemon.events import DocumentOperation, Position


class Batch:
    """Operations for one request; of several on one document only the last is kept."""

    __slots__ = ("after", "by_index", "size_bytes")

    def __init__(self, after: Position) -> None:
        self.after = after
        """Where the commit before the batch ends. Never a number in between: a source that is
        asked to go on from inside a commit record takes that commit for done, and skips it."""
        self.by_index: dict[str, dict[bytes, DocumentOperation]] = {}
        self.size_bytes = 0

    @property
    def operations(self) -> list[DocumentOperation]:
        """All operations, those of one index together."""
        return [one for operations in self.by_index.values() for one in operations.values()]


class Lane:
    """Bounded by whoever fills it: `size_bytes` says what it holds."""

    def __init__(self, batch_bytes: int) -> None:
        self._batch_bytes = batch_bytes
        self._changed = threading.Condition()
        self._open: Batch | None = None
        self._released = False
        self._ready: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self.closed = False
        self.size_bytes = 0

    def put(
        self,
        index: str,
        operations: dict[bytes, DocumentOperation],
        size_bytes: int,
        after: Position,
    ) -> None:
        """Add operations of one commit, by id; `after` is where the commit before it ends."""
        with self._changed:
            batch = self._open
            if batch is None:
                batch = self._open = Batch(after)
            known = batch.by_index.get(index)
            if known is None:
                batch.by_index[index] = operations
            else:
                known.update(operations)
            batch.size_bytes += size_bytes
            self.size_bytes += size_bytes
            if batch.size_bytes >= self._batch_bytes:
                self._ready.append(batch)
                self._open = None
                self._released = False
                self._changed.notify_all()

    def release(self) -> None:
        """Let the sender have the open batch however small: nothing more is coming just now."""
        with self._changed:
            if self._open is not None and not self._released:
                self._released = True
                self._changed.notify_all()

    def take(self) -> Batch | None:
        """Wait for a batch; None when the lane is closed. The sender calls it."""
        with self._changed:
            while not self.closed:
                if self._ready:
                    self._in_flight = self._ready.popleft()
                    return self._in_flight
                if self._open is not None and self._released:
                    self._in_flight, self._open = self._open, None
                    self._released = False
                    return self._in_flight
                self._changed.wait()
            return None

    def done(self, batch: Batch) -> None:
        """Mark the batch in flight as durable, rejected operations included."""
        with self._changed:
            self._in_flight = None
            self.size_bytes -= batch.size_bytes
            self._changed.notify_all()

    def pending_from(self) -> Position | None:
        """Everything up to here is durable, and what follows isn't yet; None when all is."""
        with self._changed:
            for batch in (self._in_flight, *self._ready, self._open):
                if batch is not None:
                    return batch.after
            return None

    def close(self) -> None:
        """Make the sender end after the request that it has in flight."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
