"""The delay clock: how far a stage is behind the source, known at any moment, whatever stalls.

About once a second the source's time and position are sampled. A sample that a stage has reached
proves that the stage shows everything from before it, and so does each transaction that comes in
between. So the delay of a stage is the largest of: how long the newest of both took to be reached
(and its age, where others waited already when it was); the age of the oldest that isn't reached;
and, when sampling itself fails, the age of the newest sample. It rises by a second a second
whenever anything stalls. Samples need no two clocks to agree: their ages are measured by the
daemon's own. The times of commits are the source's, compared through an offset that the samples
measure.

Pure: times are given, in seconds.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.consistency.latency import StageLatency
from cdc_daemon.consistency.rolling import RollingMaximum
from cdc_daemon.events import NOWHERE

if TYPE_CHECKING:
    from cdc_daemon.consistency.latency import Transaction
    from cdc_daemon.events import Position

SAMPLE_SECONDS: Final = 1.0
MISSED_SAMPLES: Final = 2
"""So many missed samples mean that sampling fails: until then the newest one counts as fresh."""

MOST_WAITING: Final = 4096
"""During a long stall samples are thinned out: the oldest one is what counts."""


class Sample(NamedTuple):
    """One reading of the source."""

    taken: float
    """When, in the daemon's monotonic clock."""
    source_time: float
    """The source's clock: seconds since the epoch."""
    position: Position


class StageDelay:
    """The delay of one stage. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._waiting: deque[Sample] = deque()
        self._transactions = StageLatency()
        self._newest: float | None = None
        self._latency = 0.0
        self._reached_last = 0.0
        """From when the newest is that was reached, and when it was."""
        self._reached_at = 0.0
        self._largest = RollingMaximum()
        self._sample: Sample | None = None
        """The newest that was reached."""
        self.position = NOWHERE
        """The stage shows everything up to here."""

    def sampled(self, sample: Sample, now: float) -> None:
        """A new sample waits to be reached; an idle source's has been reached already."""
        if self._newest is not None and self._missed(now):
            # Nothing was known for so long: the maximum must not forget it at the next sample.
            self._largest.note(now, now - self._newest)
        self._newest = sample.taken
        self._waiting.append(sample)
        self.reached(self.position, now)
        if len(self._waiting) > MOST_WAITING:
            self._waiting = deque(list(self._waiting)[::2])

    def committed(self, transaction: Transaction) -> None:
        """A transaction was received, and waits to be reached."""
        self._transactions.committed(transaction)

    def reached(self, position: Position, now: float) -> list[Transaction]:
        """The stage shows everything up to `position`; which transactions it has passed now."""
        self.position = max(self.position, position)
        while self._waiting and self._waiting[0].position <= position:
            self._sample = self._waiting.popleft()
            self._took(self._sample.taken, now)
        passed = self._transactions.passed(position)
        for transaction in passed:
            self._took(transaction.committed, now)
        return passed

    def _took(self, since: float, now: float) -> None:
        """What was there at `since` is reached now."""
        latency = max(0.0, now - since)
        if since >= self._reached_last:
            self._reached_last, self._reached_at, self._latency = since, now, latency
        self._largest.note(now, latency)

    def _missed(self, now: float) -> bool:
        """Whether sampling has failed until now."""
        return self._newest is not None and now - self._newest > MISSED_SAMPLES * SAMPLE_SECONDS

    def delay(self, now: float) -> float | None:
        """Seconds behind the source; None before the first sample."""
        if self._newest is None:
            return None
        delays = [self._latency]
        oldest = self._transactions.oldest
        if self._waiting:
            delays.append(now - self._waiting[0].taken)
            is_backlog = self._waiting[0].taken <= self._reached_at
            if is_backlog and (oldest is None or oldest.start > self.position):
                delays.append(now - self._reached_last)  # what comes next isn't known
        if oldest is not None:
            delays.append(now - oldest.committed)
        if self._missed(now):
            delays.append(now - self._newest)
        return max(delays)

    def bound(self, now: float) -> float | None:
        """No more than so many seconds behind, whatever happened meanwhile; None if unknown."""
        return None if self._sample is None else now - self._sample.taken

    def maximum(self, now: float) -> float | None:
        """The largest delay of the last minute: a scrape every 15 s misses no spike."""
        current = self.delay(now)
        return None if current is None else self._largest.of(now, current)

    @property
    def watermark(self) -> float | None:
        """Everything committed until this source time is shown; None before the first sample."""
        return None if self._sample is None else self._sample.source_time

    @property
    def oldest_waiting(self) -> Sample | None:
        """The oldest sample that isn't reached."""
        return self._waiting[0] if self._waiting else None
