"""The delay clock: how far a stage is behind the source, known at any moment, whatever stalls.

About once a second the source's time and position are sampled. A sample that a stage has reached
proves that the stage shows everything from before it. So the delay of a stage is the largest of:
how long the newest reached sample took; the age of the oldest sample that isn't reached; and, when
sampling itself fails, the age of the newest sample. It rises by a second a second whenever
anything stalls, and needs no two clocks to agree: ages are measured by the daemon's own.

Pure: times are given, in seconds.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.events import NOWHERE

if TYPE_CHECKING:
    from cdc_daemon.events import Position

SAMPLE_SECONDS: Final = 1.0
MISSED_SAMPLES: Final = 2
"""So many missed samples mean that sampling fails: until then the newest one counts as fresh."""

MOST_WAITING: Final = 4096
"""During a long stall samples are thinned out: the oldest one is what counts."""

MAXIMUM_OVER_SECONDS: Final = 60.0


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
        self._newest: float | None = None
        self._latency = 0.0
        self._recent: deque[tuple[float, float]] = deque()
        self._position = NOWHERE
        self.watermark: float | None = None
        """Everything committed until this source time is shown; None before the first sample."""

    def sampled(self, sample: Sample, now: float) -> None:
        """A new sample waits to be reached; an idle source's has been reached already."""
        if self._newest is not None and self._missed(sample.taken):
            # Nothing was known for so long: the maximum must not forget it at the next sample.
            self._remember(now, sample.taken - self._newest)
        self._newest = sample.taken
        self._waiting.append(sample)
        self.reached(self._position, now)
        if len(self._waiting) > MOST_WAITING:
            self._waiting = deque(list(self._waiting)[::2])

    def reached(self, position: Position, now: float) -> None:
        """The stage shows everything up to `position`."""
        self._position = max(self._position, position)
        while self._waiting and self._waiting[0].position <= position:
            sample = self._waiting.popleft()
            self._latency = now - sample.taken
            self.watermark = sample.source_time
            self._remember(now, self._latency)

    def _missed(self, now: float) -> bool:
        """Whether sampling has failed until now."""
        return self._newest is not None and now - self._newest > MISSED_SAMPLES * SAMPLE_SECONDS

    def _remember(self, now: float, delay: float) -> None:
        """For the maximum; forgets what is too old, so that it stays small when nobody asks."""
        self._recent.append((now, delay))
        while self._recent[0][0] < now - MAXIMUM_OVER_SECONDS:
            self._recent.popleft()

    def delay(self, now: float) -> float | None:
        """Seconds behind the source; None before the first sample."""
        if self._newest is None:
            return None
        delays = [self._latency]
        if self._waiting:
            delays.append(now - self._waiting[0].taken)
        if self._missed(now):
            delays.append(now - self._newest)
        return max(delays)

    def maximum(self, now: float) -> float | None:
        """The largest delay of the last minute: a scrape every 15 s misses no spike."""
        while self._recent and self._recent[0][0] < now - MAXIMUM_OVER_SECONDS:
            self._recent.popleft()
        current = self.delay(now)
        if current is None:
            return None
        return max([current, *(latency for _, latency in self._recent)])

    @property
    def oldest_waiting(self) -> Sample | None:
        """The oldest sample that isn't reached."""
        return self._waiting[0] if self._waiting else None
