"""Turns scrapes and probes into what is shown: the last seconds live, the whole run at the end."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cdc_daemon.demo.figures import (
    STAGES,
    Reading,
    stage_percentiles,
)
from cdc_daemon.outside.percentiles import Percentiles, percentiles

if TYPE_CHECKING:
    from cdc_daemon.demo.daemons import Daemons
    from cdc_daemon.demo.probe import Found, Probe
    from cdc_daemon.demo.workload import Workload

SCRAPE_SECONDS: Final = 0.5
WINDOW_SECONDS: Final = 10.0
"""The stretch of time that live figures are about."""

WARM_UP_SECONDS: Final = 10.0
WARM_UP_SHARE: Final = 0.25
"""A fresh Java compiles while it works: this share of a run, at most so long, doesn't count."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What there is to show of one stretch of time."""

    elapsed: float
    """Seconds since the workload began."""
    transactions: int
    """All until now, as is `documents`."""
    documents: int
    transactions_rate: float
    """A second, over the stretch; as is `documents_rate`."""
    documents_rate: float
    dead_letters: int
    delay: float | None
    stages: dict[str, Percentiles]
    probe: Percentiles
    probes: int
    """How many there were in the stretch."""
    last_found: Found | None


class Measuring:
    """Reads the metrics now and then, and remembers what it takes to tell the figures."""

    def __init__(
        self, daemons: Daemons, workload: Workload, probe: Probe, duration_seconds: float
    ) -> None:
        self._daemons = daemons
        self._workload = workload
        self._probe = probe
        self._warm_up = min(WARM_UP_SECONDS, WARM_UP_SHARE * duration_seconds)
        self.duration_seconds = duration_seconds
        self.began = time.monotonic()
        self._ended: float | None = None
        self._first = Reading(self.began)
        self._steady: tuple[Reading, int] | None = None
        self._recent: deque[tuple[Reading, int]] = deque(
            maxlen=int(WINDOW_SECONDS / SCRAPE_SECONDS) + 1
        )

    @property
    def warm_up_seconds(self) -> float:
        """How much of the run the figures of the whole run leave out."""
        return self._warm_up

    def scrape(self) -> None:
        """Read the metrics once; a scrape that fails leaves the figures as they are."""
        reading = self._daemons.read(time.monotonic())
        if reading is None:
            return
        reading.committed = self._workload.committed + len(self._probe.found)
        if not self._recent:
            self._first = reading
        at = (reading, len(self._probe.found))
        if self._steady is None and reading.taken - self.began >= self._warm_up:
            self._steady = at
        self._recent.append(at)

    def ended(self) -> None:
        """The workload has stopped; what comes until the last scrape is its tail."""
        self._ended = time.monotonic()

    def live(self) -> Figures | None:
        """The figures of the last `WINDOW_SECONDS`; None before the first scrape."""
        return self._between(*self._recent[0]) if self._recent else None

    def whole(self) -> Figures | None:
        """The figures of the run after its warm-up; None if nothing could be read."""
        return self._between(*(self._steady or self._recent[0])) if self._recent else None

    def _between(self, first: Reading, probes_before: int) -> Figures:
        last = self._recent[-1][0]
        until = self._ended or last.taken
        seconds = max(until - first.taken, SCRAPE_SECONDS)
        found = self._probe.found[probes_before:]
        return Figures(
            elapsed=until - self.began,
            transactions=last.committed,
            documents=last.documents - self._first.documents,
            transactions_rate=(last.committed - first.committed) / seconds,
            documents_rate=(last.documents - first.documents) / seconds,
            dead_letters=last.dead_letters,
            delay=last.delay,
            stages={stage: stage_percentiles(first, last, stage) for stage in STAGES},
            probe=percentiles([each.seconds for each in found]),
            probes=len(found),
            last_found=self._probe.found[-1] if self._probe.found else None,
        )
