"""A lane: the queue between the reader and one sender.

Operations of one document always go through the same lane, and a lane has one request in flight,
repeated until it is answered: so nothing overtakes. The reader fills an open batch; it is handed
over when it is large, or when the reader has nothing more to read and its pace allows.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from cdc_daemon.events import DocumentOperation, Position

MOST_OPERATIONS: Final = 10_000
"""A request of more documents is no faster, but its answer and its retry are long."""


class Batch:
    """Operations for one request; of several on one document only the newest is kept."""

    __slots__ = (
        *(
            "after",
            "by_index",
            "closed",
            "count",
            "era",
            "highest",
            "number",
            "opened_at",
            "size_bytes",
        ),
    )

    def __init__(self, after: Position, era: int = 0, number: int = 0) -> None:
        self.number = number
        """Counts the batches of a lane, which are done in this order."""
        self.after = after
        """Where the commit before the batch ends. Never a number in between: a source that is
        asked to go on from inside a commit record takes that commit for done, and skips it."""
        self.era = era
        """How often the lanes had been divided anew: a later era waits for those before."""
        self.opened_at = time.monotonic()
        self.closed = False
        """Whether more may be added: it is large, or what follows belongs into another one."""
        self.by_index: dict[str, dict[bytes, DocumentOperation]] = {}
        self.highest: dict[str, int] = {}
        """The highest version of each index."""
        self.size_bytes = 0
        self.count = 0

    def add(self, index: str, operations: dict[bytes, DocumentOperation]) -> None:
        """Take operations of one version, by id. Nearly always it is the newest one."""
        known = self.by_index.get(index)
        version = next(iter(operations.values())).version
        if known is None or version >= self.highest[index]:
            self.highest[index] = version
            if known is None:
                self.by_index[index] = operations
            else:
                known.update(operations)
            return
        for document_id, operation in operations.items():  # a message came late
            there = known.get(document_id)
            if there is None or there.version <= version:
                known[document_id] = operation

    @property
    def operations(self) -> list[DocumentOperation]:
        """All operations, those of one index together."""
        return [one for operations in self.by_index.values() for one in operations.values()]


class Lane:
    """Bounded by whoever fills it: `size_bytes` says what it holds."""

    def __init__(
        self,
        batch_bytes: int,
        changed: threading.Condition | None = None,
        oldest_era: Callable[[], int] = lambda: 0,
        hold_seconds: Callable[[Batch, float], float] = lambda _batch, _sent_at: 0.0,
    ) -> None:
        self.batch_bytes = batch_bytes
        """A batch of this size is closed."""
        self._changed = changed or threading.Condition()
        self._oldest_era = oldest_era
        self._hold_seconds = hold_seconds
        self._open: Batch | None = None
        self._released = False
        self._ready: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self._sent_at = 0.0
        self.era = 0
        self.last_number = 0
        self.done_number = 0
        self.closed = False
        self.size_bytes = 0

    def put(
        self,
        index: str,
        operations: dict[bytes, DocumentOperation],
        size_bytes: int,
        after: Position,
    ) -> None:
        """Add operations of one commit, by id; `after` is where the commit before it ends.

        All have one version.
        """
        with self._changed:
            batch = self._open
            if batch is None:
                self.last_number += 1
                batch = self._open = Batch(after, self.era, self.last_number)
            batch.after = min(batch.after, after)
            batch.add(index, operations)
            batch.size_bytes += size_bytes
            batch.count += len(operations)
            self.size_bytes += size_bytes
            if batch.size_bytes >= self.batch_bytes or batch.count >= MOST_OPERATIONS:
                self.close_open_batch()
                self._changed.notify_all()

    def close_open_batch(self) -> None:
        """Let what comes next go into another batch. The caller holds the condition."""
        if self._open is not None:
            self._open.closed = True
            self._ready.append(self._open)
            self._open = None
            self._released = False

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
                batch, hold_seconds = self._next()
                if batch is not None and not hold_seconds:
                    return self._begin(batch)
                self._changed.wait(hold_seconds)
            return None

    def _next(self) -> tuple[Batch | None, float | None]:
        """The batch that is next, and how long it is held: None is until something changes."""
        batch = self._ready[0] if self._ready else self._open if self._released else None
        if batch is None or batch.era > self._oldest_era():
            return None, None
        return batch, self._hold_seconds(batch, self._sent_at)

    def _begin(self, batch: Batch) -> Batch:
        if self._ready:
            self._ready.popleft()
        else:
            self._open = None
            self._released = False
        self._in_flight = batch
        self._sent_at = time.monotonic()
        return batch

    def done(self, batch: Batch) -> None:
        """Mark the batch in flight as durable, rejected operations included."""
        with self._changed:
            self._in_flight = None
            self.done_number = batch.number
            self.size_bytes -= batch.size_bytes
            self._changed.notify_all()

    def pending(self) -> Iterator[Batch]:
        """What isn't durable yet, the oldest first. The caller holds the condition."""
        for batch in (self._in_flight, *self._ready, self._open):
            if batch is not None:
                yield batch

    def pending_from(self, indices: Collection[str] | None = None) -> Position | None:
        """Everything up to here is durable, and what follows isn't yet; None when all is.

        As far as it belongs in these indices, where some are given.
        """
        with self._changed:
            pending = self.pending()
            if indices is not None:
                pending = (
                    batch for batch in pending if not batch.by_index.keys().isdisjoint(indices)
                )
            return min((batch.after for batch in pending), default=None)

    def last_with(self, index: str, document_id: bytes | None) -> int:
        """The number of the last batch with something of a document, or of the index, that isn't
        durable yet; 0 where there is none.
        """  # noqa: D205 - one sentence
        with self._changed:
            return max(
                (
                    batch.number
                    for batch in self.pending()
                    if (ids := batch.by_index.get(index)) is not None
                    and (document_id is None or document_id in ids)
                ),
                default=0,
            )

    def close(self) -> None:
        """Make the sender end after the request that it has in flight."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
