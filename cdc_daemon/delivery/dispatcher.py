"""Spreads contents over the lanes as versioned operations; waits when the queues are full.

Rows that are loaded have lanes of their own, so that changes don't stand in line behind them. Only
what is for a document that waits in other lanes goes there, behind it: it stays in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.delivery.addresses import routed
from cdc_daemon.events import BEYOND, NOWHERE, DocumentOperation
from cdc_daemon.projection.hole import MARK_BYTE as HOLE
from cdc_daemon.projection.rejection import MARK_BYTE as REJECTED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence

    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.delivery.lanegroups import LaneGroups
    from cdc_daemon.delivery.lanes import Lanes
    from cdc_daemon.events import Position

OPERATION_OVERHEAD_BYTES: Final = 350
"""What an operation costs in memory beside its document: objects, dictionary entry, id."""

QUEUE_SHARE: Final = 4
"""More is loaded while no more than this part of `memory.queue` waits in its lanes."""
REQUESTS_AHEAD: Final = 4
"""And no more than so many requests: where they are small, others need the sink."""

CHUNK_BYTES: Final = 500_000
"""So much is put into the lanes at a time: between chunks the bound of the queues is kept."""

MOST_REJECTED: Final = 200
"""Rows that can't become documents are handed over in groups of so many."""


class _Way(NamedTuple):
    """As what contents go, and by which lanes."""

    of: str
    """The index."""
    version: Position
    after: Position
    lanes: Lanes
    waits: bool
    """While the queues are full."""
    chunk_bytes: int = CHUNK_BYTES


class Dispatcher:
    """The reader's end of all lanes. One thread uses it."""

    def __init__(
        self,
        lanes: Lanes | LaneGroups,
        loading: Lanes | LaneGroups,
        queue_bytes: int,
        wait_for_room: Callable[[], None],
        reject: Callable[[str, Position, list[tuple[bytes, bytes]]], None],
    ) -> None:
        self._lanes = lanes
        self._loading = loading
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
        return self._lanes.size_bytes + self._loading.size_bytes

    @property
    def has_room_aside(self) -> bool:
        """Whether more may be loaded: little waits there, so changes have room, and don't have to
        wait long where they come behind it.
        """  # noqa: D205 - one sentence
        ahead = min(self._queue_bytes // QUEUE_SHARE, REQUESTS_AHEAD * self._loading.request_bytes)
        return self._loading.size_bytes <= ahead

    def send(
        self, index: str, position: Position, contents: Iterable[Content], *, after: Position
    ) -> int:
        """Put contents, each id or address once, as operations of version `position`; return how
        many.

        `after` is where the commit before them ends: what is durable while they are pending.
        """  # noqa: D205 - one sentence
        way = _Way(index, position, after, self._lanes.of(index), waits=True)
        return self._behind(self._loading.of(index), way, contents)

    def load(
        self,
        index: str,
        position: Position,
        contents: Iterable[Content],
        *,
        after: Position = BEYOND,
    ) -> int:
        """Put contents, as `send` does, but without waiting, and out of the way of what is sent.

        Where `after` isn't given they are part of no position. Whoever loads looks at
        `has_room_aside` before.
        """
        lanes = self._loading.of(index)
        chunk_bytes = min(CHUNK_BYTES, lanes.request_bytes)
        way = _Way(index, position, after, lanes, waits=False, chunk_bytes=chunk_bytes)
        sent = self._behind(self._lanes.of(index), way, contents)
        self.release()
        return sent

    def mark(self) -> tuple[int, ...]:
        """Everything put until now, for `passed`."""
        return self._lanes.mark() + self._loading.mark()

    def passed(self, mark: tuple[int, ...]) -> bool:
        """Whether everything put before `mark` is durable."""
        changes = len(self._lanes)
        return self._lanes.passed(mark[:changes]) and self._loading.passed(mark[changes:])

    def release(self) -> None:
        """Nothing more is coming just now: let the senders have what there is."""
        for lane in (*self._lanes, *self._loading):
            lane.release()

    def _behind(self, others: Lanes, way: _Way, contents: Iterable[Content]) -> int:
        """Put contents, those of documents that wait in other lanes behind what waits there."""
        late: list[Content] = []
        if waiting := others.waiting(way.of):
            contents = _parted(contents, waiting, late)
        sent = self._spread(way, contents)
        return sent + (self._spread(way._replace(lanes=others), late) if late else 0)

    def _spread(self, way: _Way, contents: Iterable[Content]) -> int:
        index, version = way.of, way.version
        operation = routed if index in self.routed else DocumentOperation
        self.highest = max(self.highest, version)
        lanes, chunk_bytes = way.lanes.adapt(), way.chunk_bytes
        buckets: list[dict[bytes, DocumentOperation]] = [{} for _ in way.lanes]
        sizes = [0] * len(way.lanes)
        rejected: list[tuple[bytes, bytes]] = []
        sent = 0
        for document_id, body in contents:
            size = OPERATION_OVERHEAD_BYTES
            if body is not None:
                if body[0] == REJECTED:
                    rejected.append((document_id, body))
                    if len(rejected) >= MOST_REJECTED:
                        self._reject(index, version, rejected)
                        rejected = []
                    continue
                if body[0] == HOLE:
                    self.leave_out(index, document_id, body)
                    continue
                size += len(body)
            at = hash(document_id) % lanes
            buckets[at][document_id] = operation(index, document_id, version, body)
            sizes[at] += size
            if sizes[at] >= chunk_bytes:
                sent += self._put(way, buckets, sizes)
                lanes = way.lanes.adapt()  # every bucket is empty now
        sent += self._put(way, buckets, sizes)
        if rejected:
            self._reject(index, version, rejected)
        self.sent += sent
        return sent

    def _put(
        self, way: _Way, buckets: list[dict[bytes, DocumentOperation]], sizes: list[int]
    ) -> int:
        while way.waits and self._lanes.size_bytes >= self._queue_bytes:
            self.release()
            self.wait_for_room()
        sent = 0
        for at, operations in enumerate(buckets):
            if operations:
                way.lanes[at].put(way.of, operations, sizes[at], way.after)
                sent += len(operations)
                buckets[at] = {}
                sizes[at] = 0
        return sent


def _parted(
    contents: Iterable[Content], waiting: Sequence[Container[bytes]], late: list[Content]
) -> Iterator[Content]:
    """Let pass what may go at once; put what must go behind others into `late`."""
    for content in contents:
        if any(content[0] in ids for ids in waiting):
            late.append(content)
        else:
            yield content


def _refuse(index: str, document_id: bytes, content: bytes) -> None:
    raise AssertionError(f"nobody fills the hole of {document_id!r} in {index}: {content!r}")
