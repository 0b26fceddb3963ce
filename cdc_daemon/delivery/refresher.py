"""Makes written documents of one sink searchable, as often as each projection's freshness asks.

The daemon owns the refresh: when the call returns, everything written before it is searchable, so
the delay is known and not estimated. An index that nothing was written to is never refreshed. While
more is waiting to be written than a request carries, refreshing takes at most half of the time, so
that it doesn't starve indexing, however many indices are due, and whoever waits. What somebody
waits for is refreshed as soon as it is durable, by one refresh for all who wait.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import CdcError, RetryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.consistency.freshness import Freshness
    from cdc_daemon.delivery.hurry import Hurry
    from cdc_daemon.delivery.progress import Progress
    from cdc_daemon.events import Position
    from cdc_daemon.ports import Sink

WAIT_AFTER_FAILURE_SECONDS: Final = 1.0
IDLE_WAIT_SECONDS: Final = 1.0


class Refresher(threading.Thread):
    """One thread that refreshes the indices of one sink."""

    def __init__(  # noqa: PLR0913 - what it is connected to, each by its name
        self,
        *,
        sink: Sink,
        indices: frozenset[str],
        progress: Progress,
        freshness_seconds: Mapping[str, float],
        freshness: Freshness,
        hurry: Hurry,
        busy: Callable[[], bool],
        refreshed: Callable[[Sequence[str], float], None],
        retried: Callable[[str, str], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`indices` are those that are in that sink."""
        super().__init__(name="refresher", daemon=True)
        self._sink = sink
        self._indices = indices
        self._progress = progress
        self._freshness_seconds = freshness_seconds
        self._freshness = freshness
        self._hurry = hurry
        self._busy = busy
        self._refreshed = refreshed
        self._retried = retried
        self._failed = failed
        self._due: dict[str, float] = {}
        self._not_before = 0.0
        """After a failure, and under load after each refresh, the sink needs a rest: also while
        somebody waits, and while stopping, when all is due at once."""
        self._awake = threading.Event()
        self._closed = False
        self._at_once = False
        self._awaited: set[str] = set()
        """Indices that hold something durable which somebody waits for."""

    def wake(self) -> None:
        """Something was written."""
        self._awake.set()

    def show(self, index: str) -> None:
        """Somebody waits for what is in the index already. Any thread calls it."""
        if index in self._progress.dirty():
            self._awaited.add(index)
            self._awake.set()

    def finish(self) -> None:
        """Refresh what is dirty without waiting for freshness, from now on."""
        self._at_once = True
        self._awake.set()

    def close(self) -> None:
        """Make the thread end."""
        self._closed = True
        self._awake.set()

    def run(self) -> None:
        """Refresh until closed."""
        try:
            while not self._closed:
                self._awake.wait(self._until_due(time.monotonic()))
                self._awake.clear()
                self._look_for_awaited()
                self._refresh_due(time.monotonic())
        except (CdcError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._failed(error)

    def _until_due(self, now: float) -> float:
        waits = [self._due_at(index) - now for index in self._dirty()]
        return max(0.0, min(waits, default=IDLE_WAIT_SECONDS))

    def _look_for_awaited(self) -> None:
        """Not before all that is awaited is durable: another refresh would only be in its way."""
        for index, hidden in self._dirty().items():
            if self._hurry.awaits(index):
                durable = self._progress.durable_of((index,))
                lacking = min(hidden, self._progress.others_searchable(index))
                if self._hurry.take_durable(index, durable) > lacking:
                    self._awaited.add(index)

    def _due_at(self, index: str) -> float:
        at_once = self._at_once or index in self._awaited
        return max(self._not_before, 0.0 if at_once else self._due.get(index, 0.0))

    def _dirty(self) -> dict[str, Position]:
        """What was written to since its last refresh began, with what searches may lack."""
        dirty = self._progress.dirty()
        return {index: dirty[index] for index in dirty.keys() & self._indices}

    def _refresh_due(self, now: float) -> None:
        due = sorted(index for index in self._dirty() if self._due_at(index) <= now)
        if due:
            self._refresh(due)

    def _refresh(self, due: Sequence[str]) -> None:
        now = time.monotonic()
        awaited = self._awaited.intersection(due)
        self._awaited -= awaited  # what comes from here on is for the next one
        self._progress.begin_refresh(due)
        self._freshness.begin_refresh(due)
        try:
            self._sink.refresh(due)
        except RetryError as error:
            self._progress.end_refresh(due, succeeded=False)
            self._freshness.end_refresh(due, succeeded=False)
            self._awaited |= awaited
            self._retried(error.reason, str(error))
            self._not_before = time.monotonic() + WAIT_AFTER_FAILURE_SECONDS
            return
        self._progress.end_refresh(due, succeeded=True)
        self._freshness.end_refresh(due, succeeded=True)
        ended = time.monotonic()
        if self._busy():
            self._not_before = ended + (ended - now)
        for index in due:
            self._due[index] = now + self._freshness_seconds[index]
        self._refreshed(due, ended - now)
