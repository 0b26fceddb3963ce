"""An outside prober: commits rows, and searches until they are found. It believes nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from tests.generators.rest import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon

LOST_SECONDS = 120.0
PAUSE_SECONDS = 0.005
"""Between two searches: searching is not to take a core from what is looked at."""


class Probe(NamedTuple):
    """One row's way, in monotonic seconds."""

    before: float
    """COMMIT was sent."""
    committed: float
    """COMMIT had returned."""
    missed: float
    """The last search began that didn't find it; `committed` where the first one did."""
    found: float
    """A search that found it had returned."""

    @property
    def at_least(self) -> float:
        """So long it was late for certain, however busy the machine is."""
        return self.missed - self.committed

    @property
    def at_most(self) -> float:
        """And no longer than this."""
        return self.found - self.before


class Said(NamedTuple):
    """What the daemon said of its delay, between two moments of monotonic time."""

    asked: float
    answered: float
    delay: float
    maximum: float
    bound: float
    clock_error: float
    """By how much commit times may be wrong, which are the source's."""


class Prober:
    """Of one table `item (id int primary key)` and the read model `items`."""

    def __init__(self, dsn: str, rest: Rest) -> None:
        self._dsn = dsn
        self._rest = rest
        self._last = 0

    def commit(self) -> tuple[int, float, float]:
        """Commit one more row; its id, and when COMMIT was sent and back."""
        self._last -= 1
        with psycopg.connect(self._dsn) as connection:
            connection.execute("insert into item values (%s)", [self._last])
            before = time.monotonic()
            connection.commit()
            return self._last, before, time.monotonic()

    def probe(self) -> Probe:
        """Commit one more row, and search until it is found."""
        return self.find(*self.commit())

    def find(self, row: int, before: float, committed: float) -> Probe:
        """Search for a row that was committed until it is found."""
        missed = committed
        while (began := time.monotonic()) < committed + LOST_SECONDS:
            if self._finds(row):
                return Probe(before, committed, missed, time.monotonic())
            missed = began
            time.sleep(PAUSE_SECONDS)
        raise AssertionError(f"row {row} is not found {LOST_SECONDS:.0f} s after its commit")

    def _finds(self, row: int) -> bool:
        try:
            found = self._rest.post(
                "/items/_search?size=0&request_cache=false", {"query": {"term": {"id": row}}}
            )
        except (OSError, Refused):
            return False
        return bool(found["hits"]["total"]["value"])


def said(daemon: RunningDaemon, projection: str = "", stage: str = "searchable") -> Said:
    """Scrape the delay."""
    asked = time.monotonic()
    metrics = daemon.metrics()
    answered = time.monotonic()
    labels = f'{{projection="{projection}",stage="{stage}"}}'
    delay, maximum, bound = (
        metrics.get(f"cdc_replication_delay{what}_seconds{labels}", float("nan"))
        for what in ("", "_max", "_bound")
    )
    clock_error = metrics.get("cdc_source_clock_offset_error_seconds", float("nan"))
    return Said(asked, answered, delay, maximum, bound, clock_error)


def watched(look: Callable[[], Said], seconds: float, every: float = 0.25) -> list[Said]:
    """Look again and again for so long."""
    looks = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        looks.append(look())
        time.sleep(every)
    return looks
