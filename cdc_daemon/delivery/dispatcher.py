"""Spreads contents over the lanes as versioned operations; waits when the queues are full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.delivery.addresses import routed
from cdc_daemon.events import NOWHERE, DocumentOperation
from cdc_daemon.projection.hole import MARK_BYTE as HOLE
from cdc_daemon.projection.rejection import MARK_BYTE as REJECTED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.delivery.lanes import Lanes
    from cdc_daemon.events import Position

OPERATION_OVERHEAD_BYTES: Final = 350
"""What an operation costs in memory beside its document: objects, dictionary entry, id."""

CHUNK_BYTES: Final = 500_000
"""So much is put into the lanes at a time: between chunks the bound of the queues is kept."""

MOST_REJECTED: Final = 200
"""Rows that can't become documents are handed over in groups of so many."""


class Dispatcher:
    """The reader's end of all lanes. One thread uses it."""

    def __init__(
        self,
        lanes: Lanes,
        queue_bytes: int,
        wait_for_room: Callable[[], None],
        reject: Callable[[str, Position, list[tuple[bytes, bytes]]], None],
    ) -> None:
        self._lanes = lanes
        self._queue_bytes = queue_bytes
        self.wait_for_room = wait_for_room
        """Called again and again while the queues are full; whoever reads sets it."""
        self._reject = reject
        self.leave_out: Callable[[str, bytes, bytes], None] = _refuse
        """Called with each document that lacks a value; who fills them sets it."""
        self.routed: Collection[str] = ()
        """The indices whose contents come with addresses; who fills them sets it."""
        self.sent = 0
        """Operations put into lanes so far."""
        self.highest = NOWHERE
        """No document has a higher version. Whoever gives out versions elsewhere raises it."""

    @property
    def size_bytes(self) -> int:
        """What all lanes hold."""
        return self._lanes.size_bytes

    def send(
        self, index: str, position: Position, contents: Iterable[Content], *, after: Position
    ) -> int:
        """Put contents, each id or address once, as operations of version `position`; return how
        many.

        `after` is where the commit before them ends: what is durable while they are pending.
        """  # noqa: D205 - one sentence
        operation = routed if index in self.routed else DocumentOperation
        self.highest = max(self.highest, position)
        lanes = self._lanes.adapt()
        buckets: list[dict[bytes, DocumentOperation]] = [{} for _ in self._lanes]
        sizes = [0] * len(self._lanes)
        rejected: list[tuple[bytes, bytes]] = []
        sent = 0
        for document_id, body in contents:
            size = OPERATION_OVERHEAD_BYTES
            if body is not None:
                if body[0] == REJECTED:
                    rejected.append((document_id, body))
                    if len(rejected) >= MOST_REJECTED:
                        self._reject(index, position, rejected)
                        rejected = []
                    continue
                if body[0] == HOLE:
                    self.leave_out(index, document_id, body)
                    continue
                size += len(body)
            at = hash(document_id) % lanes
            buckets[at][document_id] = operation(index, document_id, position, body)
            sizes[at] += size
            if sizes[at] >= CHUNK_BYTES:
                sent += self._put(index, after, buckets, sizes)
                lanes = self._lanes.adapt()  # every bucket is empty now
        sent += self._put(index, after, buckets, sizes)
        if rejected:
            self._reject(index, position, rejected)
        self.sent += sent
        return sent

    def mark(self) -> tuple[int, ...]:
        """Everything sent until now, for `passed`."""
        return self._lanes.mark()

    def passed(self, mark: tuple[int, ...]) -> bool:
        """Whether everything sent before `mark` is durable."""
        return self._lanes.passed(mark)

    def release(self) -> None:
        """Nothing more is coming just now: let the senders have what there is."""
        for lane in self._lanes:
            lane.release()

    def _put(
        self,
        index: str,
        after: Position,
        buckets: list[dict[bytes, DocumentOperation]],
        sizes: list[int],
    ) -> int:
        while self.size_bytes >= self._queue_bytes:
            self.release()
            self.wait_for_room()
        sent = 0
        for at, operations in enumerate(buckets):
            if operations:
                self._lanes[at].put(index, operations, sizes[at], after)
                sent += len(operations)
                buckets[at] = {}
                sizes[at] = 0
        return sent


def _refuse(index: str, document_id: bytes, content: bytes) -> None:
    raise AssertionError(f"nobody fills the hole of {document_id!r} in {index}: {content!r}")
