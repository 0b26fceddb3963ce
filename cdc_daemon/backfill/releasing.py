"""Chunks that the stream has passed: into the lanes, or into the state, while there is room."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cdc_daemon.backfill.activeload import ActiveLoad
    from cdc_daemon.backfill.joinedloads import JoinedLoads
    from cdc_daemon.backfill.loads import Loads
    from cdc_daemon.backfill.window import LoadedChunk, Window
    from cdc_daemon.delivery.delivery import Delivery


class Written(NamedTuple):
    """A chunk whose documents are on their way."""

    chunk: LoadedChunk
    mark: tuple[int, ...]


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
        before = len(self._written)
        while self._written and self._delivery.dispatcher.passed(self._written[0].mark):
            self._loads.durable(self._written.popleft().chunk)
        return len(self._written) < before

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
        self._written.append(Written(chunk, delivery.dispatcher.mark()))

    def _put_some(self, load: ActiveLoad, chunk: LoadedChunk) -> None:
        """A slice at a time: the reader has the stream to read."""
        assert self._joined is not None  # noqa: S101 - it has begun the load
        if self._joined.put_some(load, chunk):
            self._window.released(chunk)
            self._loads.durable(chunk)
            for name in load.names:
                self._delivery.metrics.loaded(name, chunk.rows)
