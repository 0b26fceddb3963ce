"""What a strategy costs and what it gives, told from the history of its clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.outside.percentiles import Percentiles, percentiles
from cdc_daemon.price.checking import missed_commits, monotonic_reads, read_your_writes, staleness
from cdc_daemon.price.strategies import MONOTONIC_READS, NO_MISSED_COMMIT, READ_YOUR_WRITES

if TYPE_CHECKING:
    from cdc_daemon.price.checking import Violation
    from cdc_daemon.price.history import History, Search, Write
    from cdc_daemon.price.strategies import Strategy

SHOWN: Final = 5
"""Violations that are kept to be shown; the others are only counted."""


class Stretch(NamedTuple):
    """The time that figures are about, in the clock of the history."""

    since: float
    until: float

    def has(self, operation: Write | Search) -> bool:
        """Whether it began within."""
        return self.since <= operation.began < self.until


@dataclass(frozen=True, slots=True)
class Price:
    """One strategy under the workload. Times are in seconds."""

    strategy: str
    title: str
    writes_a_second: float
    commit: Percentiles
    read: Percentiles
    """With what was waited before, of searches for what the client itself writes."""
    stale: Percentiles
    """For how long answers had been out of date, of searches for what others write."""
    most_stale: float
    searches: int
    """All of them: violations are counted in what came before the stretch as well."""
    violations: dict[str, int]
    """By guarantee."""
    faults: tuple[str, ...]
    """The first of those that the strategy should have ruled out."""


def price(strategy: Strategy, history: History, stretch: Stretch) -> Price:
    """The figures of the stretch, and the violations of the whole history."""
    writes = [write for write in history.writes if stretch.has(write)]
    own, stale = _reads(history, stretch)
    found = violations(history)
    faults = [f"{name}: {one}" for name in sorted(strategy.keeps) for one in found[name]]
    return Price(
        strategy=strategy.name,
        title=strategy.title,
        writes_a_second=len(writes) / (stretch.until - stretch.since),
        commit=percentiles([write.ended - write.began for write in writes]),
        read=percentiles(own),
        stale=percentiles(stale),
        most_stale=max(stale, default=0.0),
        searches=len(history.searches),
        violations={name: len(wrong) for name, wrong in found.items()},
        faults=tuple(faults[:SHOWN]),
    )


def _reads(history: History, stretch: Stretch) -> tuple[list[float], list[float]]:
    """How long searches for one's own rows took; how stale those for others' rows were.

    Who has just written is the one who has to wait, and can't miss more than the last moment.
    """
    own = {(write.client, write.key) for write in history.writes}
    took, stale = [], []
    for search, seconds in zip(history.searches, staleness(history), strict=True):
        if not stretch.has(search):
            continue
        if (search.client, search.key) in own:
            took.append(search.ended - search.began + search.waited)
        else:
            stale.append(seconds)
    return took, stale


def violations(history: History) -> dict[str, list[Violation]]:
    """All that the checker finds, by guarantee."""
    return {
        READ_YOUR_WRITES: read_your_writes(history),
        MONOTONIC_READS: monotonic_reads(history),
        NO_MISSED_COMMIT: missed_commits(history),
    }


def as_json(prices: list[Price]) -> list[dict[str, object]]:
    """Flat objects with the unit in each name."""
    return [
        {
            "strategy": each.strategy,
            "title": each.title,
            "writes_per_second": each.writes_a_second,
            "commit_p50_seconds": each.commit.p50,
            "commit_p99_seconds": each.commit.p99,
            "read_p50_seconds": each.read.p50,
            "read_p99_seconds": each.read.p99,
            "stale_p50_seconds": each.stale.p50,
            "stale_p99_seconds": each.stale.p99,
            "stale_max_seconds": each.most_stale,
            "searches": each.searches,
            "violations": {name.replace(" ", "_"): n for name, n in each.violations.items()},
            "faults": list(each.faults),
        }
        for each in prices
    ]
