"""A sender: takes batches from one lane and writes them until they are durable.

What the sink will never take becomes a dead letter, and its neighbours go on. What it doesn't take
for now is sent again, for as long as it takes, before anything newer of the lane.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.errors import CdcError, RetryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.delivery.lane import Batch, Lane
    from cdc_daemon.delivery.progress import Progress
    from cdc_daemon.events import DocumentOperation
    from cdc_daemon.ports import Rejection, Writer, WriteResult


class Observer(Protocol):
    """Who wants to know what senders do: the metrics."""

    def wrote(self, operations: Sequence[DocumentOperation], result: WriteResult) -> None:
        """A request was answered."""

    def took(self, seconds: float) -> None:
        """How long a request took."""

    def retried(self, reason: str, explanation: str) -> None:
        """A request, or a part of it, has to be sent again."""


class Sender(threading.Thread):
    """One thread with one connection to the sink."""

    def __init__(  # noqa: PLR0913 - what a sender is connected to, each by its name
        self,
        *,
        lane: Lane,
        writer: Writer,
        progress: Progress,
        keep: Callable[[Sequence[Rejection]], None],
        allowed: Callable[[], None],
        observer: Observer,
        begins: Callable[[], None],
        ended: Callable[[Batch, float], None],
        advanced: Callable[[], None],
        failed: Callable[[BaseException], None],
        number: int,
    ) -> None:
        """`allowed` raises where nothing may be written any more: asked before each request."""
        super().__init__(name=f"sender-{number}", daemon=True)
        self._lane = lane
        self._writer = writer
        self._progress = progress
        self._keep = keep
        self._allowed = allowed
        self._observer = observer
        self._begins = begins
        self._ended = ended
        self._advanced = advanced
        self._failed = failed

    def run(self) -> None:
        """Deliver batches until the lane is closed."""
        try:
            while (batch := self._lane.take()) is not None and self._delivered(batch):
                self._progress.written(batch)
                self._lane.done(batch)
                self._advanced()
        except (CdcError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._failed(error)
        finally:
            self._writer.close()

    def _delivered(self, batch: Batch) -> bool:
        began = time.monotonic()
        self._begins()
        try:
            return self._deliver(batch)
        finally:
            self._ended(batch, time.monotonic() - began)

    def _deliver(self, batch: Batch) -> bool:
        """Write until all is durable; False if the lane was closed before."""
        remaining: Sequence[DocumentOperation] = batch.operations
        for attempt in retrying():
            with attempt:
                if self._lane.closed:
                    return False
                self._allowed()
                result = self._write(remaining)
                if result.rejected:
                    self._keep(result.rejected)
                self._observer.wrote(remaining, result)
                remaining = result.retry
                if remaining:
                    self._observer.retried(result.retry_reason, "the sink is overloaded")
                    raise RetryError("the sink is overloaded", reason=result.retry_reason)
        return True

    def _write(self, operations: Sequence[DocumentOperation]) -> WriteResult:
        started = time.monotonic()
        try:
            return self._writer.write(operations)
        except RetryError as error:
            self._observer.retried(error.reason, str(error))
            raise
        finally:
            self._observer.took(time.monotonic() - started)
