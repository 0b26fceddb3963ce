"""Takes what applications post where nothing else is the source: it becomes the stream."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cdc_daemon.errors import QueueFullError, RetryError
from cdc_daemon.posted.arrivals import Arrival, Arrivals
from cdc_daemon.posted.outcome import Done, NotServingError, TooManyPostsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Position
    from cdc_daemon.ports import Source, TakesChanges
    from cdc_daemon.posted.body import Bodies, Post


class Positions(Protocol):
    """How far a pipeline is."""

    def durable(self) -> Position:
        """Everything up to here is in the sink, or a dead letter."""

    def searchable(self) -> Position:
        """Everything up to here can be found by a search."""


class Pipeline(Protocol):
    """What brings the stream to the sink."""

    @property
    def progress(self) -> Positions:
        """How far it is."""

    def hurry(self, position: Position) -> None:
        """Somebody waits for this position: hold nothing of it."""


class GivenSource(NamedTuple):
    """The source, by both of what it is."""

    source: Source
    takes: TakesChanges
    epoch: str


class InStream:
    """Of one start. Any thread calls it."""

    unknown = "not_yet"

    def __init__(self, *, bodies: Bodies, given: GivenSource, pipeline: Pipeline) -> None:
        self.bodies = bodies
        self._given = given
        self._pipeline = pipeline
        self._arrivals = Arrivals()
        self._closed = False

    @property
    def epoch(self) -> str:
        """The history that positions are of."""
        return self._given.epoch

    def take(self, post: Post, deadline: float) -> Future[Done]:
        """Give it to the source. Raises TooManyPostsError or NotServingError."""
        if self._closed:
            raise NotServingError("the daemon stops: send it again, with the same key")
        try:
            positions = self._given.takes.give([one.changes for one in post.transactions])
        except QueueFullError as error:
            raise TooManyPostsError(str(error)) from error
        except RetryError as error:
            raise NotServingError(f"{error}: send it again") from error
        future: Future[Done] = Future()
        last, progress = positions[-1], self._pipeline.progress
        reached = progress.searchable if post.searchable else progress.durable
        arrival = Arrival(
            lambda: reached() >= last,
            deadline,
            lambda there: future.set_result(self._done(positions, there=there)),
        )
        if post.searchable:
            self._pipeline.hurry(last)
        self._arrivals.add(arrival, time.monotonic())
        return future

    def _done(self, positions: Sequence[Position], *, there: bool) -> Done:
        """Positions of what is durable: after a crash others would be reached and never come."""
        show, durable = self._given.source.show, self._pipeline.progress.durable()
        shown: list[dict[str, Any]] = [
            {"outcome": "written", "position": show(at)}
            if at <= durable
            else {"outcome": self.unknown}
            for at in positions
        ]
        last = positions[-1]
        told = {"token": f"{self.epoch}:{show(last)}"} if last <= durable else {}
        return Done(shown, there, told)

    def look(self) -> None:
        """A position may have moved."""
        self._arrivals.look(time.monotonic())

    def close(self) -> None:
        """Take nothing more."""
        self._closed = True
        self._arrivals.stop()
