"""Chunks that the stream has passed: into the lanes, or into the state, while there is room.

Documents that the stream has taken out of a chunk may wait for a value that it left out. Until they
are there one chunk of the load counts as not durable, the last one: nobody searches a new index,
and nothing is deleted from one as belonging to no row. It is read again after a crash, and waits
until the stream has come by what left the value out, once more.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.backfill.activeload import ActiveLoad
    from cdc_daemon.backfill.joinedloads import JoinedLoads
    from cdc_daemon.backfill.loads import Loads
    from cdc_daemon.backfill.window import LoadedChunk, Window
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Position


class Written(NamedTuple):
    """A chunk whose documents are on their way."""

    chunk: LoadedChunk
    mark: tuple[int, ...]
    lacking: Position | None = None
    """What came up to here may wait for values; None where nothing waited then."""


class Releasing:
    """Of the loads of a pipeline. The reader calls it."""

    def __init__(
        self,
        loads: Loads,
        window: Window,
        delivery: Delivery,
        joined: JoinedLoads | None,
    ) -> None:
        self._loads = loads
        self._window = window
        self._delivery = delivery
        self._joined = joined
        self._written: deque[Written] = deque()
        self._lacking: dict[int, tuple[Position, LoadedChunk]] = {}
        """By load the last one in the sink; of what came up to there documents may lack a value."""
        self._filled: deque[Written] = deque()
        """Of which those are on their way, too."""

    def release(self) -> bool:
        """Let chunks go; whether there is more of them that needn't wait."""
        while self.has_room:
            chunk = self._window.ready(self._delivery.progress.received)
            if chunk is None:
                return False
            load = self._loads.of(chunk)
            if load is not None and load.state is not None:
                self._put_some(load, chunk)
                return True
            self._send(chunk)
        return False

    def note_durable(self) -> bool:
        """Tell the loads which documents are durable; whether any has become so."""
        chunks = [*self._take_written(), *self._take_filled()]
        for chunk in chunks:
            self._loads.durable(chunk)
        return bool(chunks)

    def _take_written(self) -> Iterator[LoadedChunk]:
        """The chunks that are in the sink, but for the last of a load that lacks documents."""
        while self._written and self._delivery.dispatcher.passed(self._written[0].mark):
            written = self._written.popleft()
            self._loads.written(written.chunk)
            if written.lacking is None:
                yield written.chunk
                continue
            _, before = self._lacking.get(written.chunk.load, (None, None))
            self._lacking[written.chunk.load] = (written.lacking, written.chunk)
            # A load may wait for long, as where a commit isn't visible: what is left stays small.
            if before is not None:
                yield before

    def _take_filled(self) -> Iterator[LoadedChunk]:
        """Those whose loads lack nothing any more: that is in the sink as well."""
        unfilled, dispatcher = self._delivery.progress.unfilled, self._delivery.dispatcher
        for load, (received, chunk) in list(self._lacking.items()):
            if unfilled is None or unfilled > received:
                del self._lacking[load]
                self._filled.append(Written(chunk, dispatcher.mark()))
        while self._filled and dispatcher.passed(self._filled[0].mark):
            yield self._filled.popleft().chunk

    @property
    def has_room(self) -> bool:
        """Whether more may be given to the sink."""
        return self._delivery.dispatcher.has_room_aside

    def _send(self, chunk: LoadedChunk) -> None:
        delivery = self._delivery
        received = delivery.progress.received
        for index, documents in chunk.contents.items():
            delivery.dispatcher.load(index, received, documents.items())
            delivery.metrics.loaded(delivery.projection_of(index).name, chunk.rows)
        # Only now: a source that is lost meanwhile must not take the chunk along.
        self._window.released(chunk)
        lacking = None if delivery.progress.unfilled is None else received
        self._written.append(Written(chunk, delivery.dispatcher.mark(), lacking))

    def _put_some(self, load: ActiveLoad, chunk: LoadedChunk) -> None:
        """A slice at a time: the reader has the stream to read."""
        assert self._joined is not None  # noqa: S101 - it has begun the load
        if self._joined.put_some(load, chunk):
            self._window.released(chunk)
            self._loads.written(chunk)
            self._loads.durable(chunk)
            for name in load.names:
                self._delivery.metrics.loaded(name, chunk.rows)
