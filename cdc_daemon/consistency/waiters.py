"""All who wait until searches show something: woken in one go by whatever makes them show it.

The threads that write and refresh look here whenever a position may have moved. So looking costs
nothing where nobody waits, and next to nothing where everybody waits for what has yet to come: to
be received, written, or refreshed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cdc_daemon.consistency.hindered import Hindered
from cdc_daemon.consistency.waiting import may_be_shown, position_of
from cdc_daemon.consistency.waitqueue import WaitQueue
from cdc_daemon.errors import CdcError, FutureTokenError, RetryError, TokenError
from cdc_daemon.events import NOWHERE, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from cdc_daemon.consistency.waiting import Pipeline, Waiter
    from cdc_daemon.ports import TokenReader


class NobodyServesError(RetryError):
    """No pipeline runs here: it starts, stops, or stands by."""


class TooManyError(CdcError):
    """So many wait already that one more would have to be a mistake."""


class Waiters:
    """Of one daemon. Any thread calls it; they outlive a start in place."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._pipeline: Pipeline | None = None
        self._tokens: TokenReader | None = None
        self._all: dict[Waiter, None] = {}
        self._queues: dict[str | None, WaitQueue[Waiter]] = {}
        """Who waits for a position, by the read model."""
        self._unread: WaitQueue[Waiter] = WaitQueue()
        """Who waits for a document, while the position has not been received."""
        self._documents: dict[str | None, Hindered] = {}
        """And since then, by the read model."""
        self.wake: Callable[[Sequence[Waiter]], None] = lambda _: None
        """Called with those who wait no longer; whoever lets them wait sets it."""

    def __len__(self) -> int:
        return len(self._all)

    @property
    def pipeline(self) -> Pipeline:
        """What is waited on. Raises NobodyServesError."""
        return self._serving()[0]

    @property
    def epoch(self) -> str | None:
        """The history that is followed; None while nobody knows."""
        tokens = self._tokens
        return None if tokens is None else tokens.epoch

    def follow(self, pipeline: Pipeline, tokens: TokenReader) -> None:
        """From now on this one runs: those who wait already wait on it."""
        with self._lock:
            self._pipeline, self._tokens = pipeline, tokens
            self._queues.clear()
            self._unread = WaitQueue()
            self._documents.clear()
            refused = [waiter for waiter in self._all if not self._reads_again(waiter, tokens)]
            self._let_go(refused)
            for waiter in self._all:
                self._place(waiter, pipeline)
            left = list(self._all)
        self._tell(refused)
        for waiter in left:
            pipeline.hurry(waiter.position, waiter.what.projections)
        self.look()

    def add(self, waiter: Waiter) -> None:
        """Let one wait. Raises TooManyError, TokenError or NobodyServesError."""
        with self._lock:
            pipeline, reader = self._serving()
            if len(self._all) >= self._most:
                raise TooManyError(
                    f"{self._most} requests wait already (consistency.max_waiters): ask again, and "
                    "look whether clients ask without end for what can't be reached"
                )
            waiter.position = _position(waiter.tokens, reader)
            self._all[waiter] = None
            self._place(waiter, pipeline)
        pipeline.hurry(waiter.position, waiter.what.projections)
        self.look()

    def read(self, tokens: Collection[str]) -> Position:
        """What they stand for, where nobody waits. Raises TokenError or NobodyServesError."""
        with self._lock:
            _, reader = self._serving()
        return _position(tokens, reader)

    def forget(self, waiter: Waiter) -> None:
        """It waits no longer. Quiet if it was woken."""
        with self._lock:
            pipeline = self._pipeline
            was_there = waiter in self._all
            self._let_go([waiter])
        if was_there and pipeline is not None:
            pipeline.take_back(waiter.position, waiter.what.projections)

    def look(self) -> None:
        """Wake whom a position has reached that may have moved."""
        if not self._all:
            return
        woken: list[Waiter] = []
        try:
            with self._lock:
                if self._pipeline is not None:
                    self._take_reached(self._pipeline, woken)
        finally:
            self._tell(woken)

    def _take_reached(self, pipeline: Pipeline, woken: list[Waiter]) -> None:
        """They are in no queue any more, so they are woken even where a later question fails."""
        try:
            for waiter in self._reached(pipeline):
                woken.append(waiter)  # noqa: PERF402 - what a failure leaves of it counts
        finally:
            for waiter in woken:
                waiter.reached = True
            self._let_go(woken)

    def ends_at(self, end: Position, asked: float) -> None:
        """There the source's log ended: what was asked for before, and lies beyond, never comes."""
        with self._lock:
            beyond = [one for one in self._all if one.position > end and one.since < asked]
            for waiter in beyond:
                waiter.refused = FutureTokenError(
                    "the token lies beyond the end of the source's log: it is of another database, "
                    "or of what a crash, a failover or a restore has lost"
                )
            self._let_go(beyond)
            pipeline = self._pipeline
        if pipeline is not None:
            for waiter in beyond:
                pipeline.take_back(waiter.position, waiter.what.projections)
        self._tell(beyond)

    def stop(self) -> None:
        """Nobody is served from now on: all who wait are told so."""
        with self._lock:
            left = list(self._all)
            self._pipeline = self._tokens = None
            for waiter in left:
                waiter.refused = NobodyServesError("the daemon stops")
            self._let_go(left)
        self._tell(left)

    def _serving(self) -> tuple[Pipeline, TokenReader]:
        pipeline, tokens = self._pipeline, self._tokens
        if pipeline is None or tokens is None:
            raise NobodyServesError("no pipeline runs in this daemon")
        return pipeline, tokens

    def _reads_again(self, waiter: Waiter, tokens: TokenReader) -> bool:
        """Another start may be in another history."""
        try:
            waiter.position = _position(waiter.tokens, tokens)
        except TokenError as error:
            waiter.refused = error
        return waiter.refused is None

    def _place(self, waiter: Waiter, pipeline: Pipeline) -> None:
        projection, document_id = waiter.what
        if projection is None or document_id is None:
            queue = self._queues.setdefault(projection, WaitQueue())
        else:
            queue = self._unread
            waiter.document = pipeline.awaited_document(projection, document_id, waiter.position)
        waiter.place = queue.put(waiter.position, waiter)

    def _let_go(self, some: Collection[Waiter]) -> None:
        for waiter in some:
            if waiter not in self._all:
                continue  # it is in no queue: its place is somebody else's by now
            del self._all[waiter]
            if (hindered := self._documents.get(waiter.what.projection)) is not None:
                hindered.leave(waiter)
            queue = self._queues.get(waiter.what.projection)
            if waiter.document is not None:
                self._unread.leave(waiter.place)
            elif queue is not None:
                queue.leave(waiter.place)

    def _reached(self, pipeline: Pipeline) -> Iterator[Waiter]:
        received = pipeline.progress.received
        for projection, queue in self._queues.items():
            nearest = queue.nearest
            # No more is searchable than what was received: that much is known without looking.
            if nearest is not None and nearest <= received and may_be_shown(pipeline, projection):
                yield from queue.take(position_of(pipeline, projection))
        for waiter in self._unread.take(received):
            self._documents.setdefault(waiter.what.projection, Hindered()).add(waiter)
        for projection, there in self._documents.items():
            if there and may_be_shown(pipeline, projection):
                yield from there.take_shown()

    def _tell(self, woken: Sequence[Waiter]) -> None:
        if woken:
            self.wake(woken)


def _position(tokens: Collection[str], reader: TokenReader) -> Position:
    """What they stand for, all together."""
    return max((reader.read(token) for token in tokens), default=NOWHERE)
