"""What was posted and isn't durable yet: in memory, in order, bounded."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import QueueFullError, RetryError
from cdc_daemon.events import NOWHERE, Change, Commit, Watermark
from connectors.messages.numbering import Numbering

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdc_daemon.events import Event, Position, Relation, Row

READ_CHANGES: Final = 2000
"""One read is at most so many, but for a transaction that has more: milliseconds of work."""
CHANGE_OVERHEAD_BYTES: Final = 300
"""What a change costs in memory beside its values."""


class Arrived(NamedTuple):
    """One transaction."""

    position: Position
    time: float
    changes: Sequence[Change]
    size_bytes: int


class ArrivalQueue:
    """Of one source. Any thread calls it; one reads."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._all: deque[Arrived] = deque()
        """What isn't confirmed yet, in order."""
        self._read = 0
        """How many of them were read."""
        self._size_bytes = 0
        self._woken = False
        self._relations: Mapping[str, Relation] | None = None
        """Those that changes carry; None: nobody follows."""
        self._numbering = Numbering()
        self._told = NOWHERE
        """The newest one that a reader knows to have come to."""

    @property
    def is_followed(self) -> bool:
        """Whether anything is taken."""
        return self._relations is not None

    @property
    def last(self) -> Position:
        """The newest position that was given."""
        return self._numbering.last

    def next_position(self) -> Position:
        """After all before, also those of a process before."""
        with self._changed:
            return self._numbering.next(time.time())

    def put(self, transactions: Sequence[Sequence[Change]]) -> list[Position]:
        """Add them, all or none. Raises QueueFullError, or RetryError where nobody follows."""
        sizes = [sum(map(_size, changes)) for changes in transactions]
        with self._changed:
            if self._relations is None:
                raise RetryError("nobody follows the source yet", reason="unfollowed")
            if self._all and self._size_bytes + sum(sizes) > self._most_bytes:
                raise QueueFullError(
                    f"{self._size_bytes} bytes wait for the sink, source.queue allows "
                    f"{self._most_bytes}: send it again, with the same idempotency key"
                )
            now = time.time()
            positions = [self.next_position() for _ in transactions]
            for position, changes, size in zip(positions, transactions, sizes, strict=True):
                self._all.append(Arrived(position, now, changes, size))
            self._size_bytes += sum(sizes)
            self._changed.notify_all()
            return positions

    def follow(self, relations: Mapping[str, Relation], after: Position) -> None:
        """Read from just after `after`: what isn't durable comes again, of these relations."""
        with self._changed:
            self._read = sum(arrived.position <= after for arrived in self._all)
            self._numbering.go_beyond(after, time.time())
            self._told = after
            self._relations = relations
            self._all = deque(_carrying(arrived, relations) for arrived in self._all)

    def leave(self) -> None:
        """Nobody follows any more; what isn't durable stays for whoever follows next."""
        with self._changed:
            self._relations = None
            self._changed.notify_all()

    def read(self, timeout_seconds: float) -> list[Event]:
        """What has come; empty after the timeout, or once it is woken."""
        with self._changed:
            if self._relations is None:
                raise RetryError("the stream has not been started", reason="unfollowed")
            if self._has_all and not self._woken:
                self._changed.wait(timeout_seconds)
            self._woken = False
            return self._next_events()

    @property
    def _has_all(self) -> bool:
        """Whether the reader knows all that there is."""
        return self._read == len(self._all) and self._told == self.last

    def _next_events(self) -> list[Event]:
        events: list[Event] = []
        while self._read < len(self._all) and len(events) < READ_CHANGES:
            arrived = self._all[self._read]
            self._read += 1
            events += arrived.changes
            events.append(Commit(arrived.position, arrived.time, xid=arrived.position))
            self._told = arrived.position
        if self._read == len(self._all) and self._told < self.last:
            self._told = self.last
            events.append(Watermark(self.last))
        return events

    def wake(self) -> None:
        """Make a read return."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def confirm(self, durable: Position) -> None:
        """What is durable needn't be kept."""
        with self._changed:
            self._forget(durable)

    def _forget(self, durable: Position) -> None:
        while self._all and self._all[0].position <= durable:
            self._size_bytes -= self._all.popleft().size_bytes
            self._read = max(0, self._read - 1)


def _size(change: Change) -> int:
    return CHANGE_OVERHEAD_BYTES + _length(change.new) + _length(change.old)


def _length(row: Row | None) -> int:
    return sum(len(value) for value in row or () if isinstance(value, bytes))


def _carrying(arrived: Arrived, relations: Mapping[str, Relation]) -> Arrived:
    """With the relations of this start: tables and columns are those of one configuration."""
    changes = [
        Change(
            relations[change.relation.qualified_name],
            change.kind,
            change.new,
            change.old,
            change.has_unchanged,
        )
        for change in arrived.changes
    ]
    return arrived._replace(changes=changes)
