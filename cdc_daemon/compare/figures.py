"""What was measured of a technique, and as JSON: flat objects with the unit in each name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdc_daemon.compare.footprint import PerChange
    from cdc_daemon.compare.judging import Missed
    from cdc_daemon.outside.percentiles import Percentiles


@dataclass(frozen=True, slots=True)
class Writers:
    """Writers at full speed, and at a steady rate; over all rounds."""

    per_second: float
    """Transactions, at full speed."""
    latency: Percentiles
    """Of a transaction, at the steady rate."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What writers can do with the technique, and without it in the same minutes."""

    baseline: Writers
    technique: Writers

    @property
    def share(self) -> float:
        """How much of their speed writers keep."""
        return self.technique.per_second / self.baseline.per_second


@dataclass(frozen=True, slots=True)
class Away:
    """The consumer was away."""

    seconds: float
    changes: int
    """Committed meanwhile."""
    kept_bytes: int
    """What the source kept for it."""
    catch_up_seconds: float | None
    """From its start until all of that could be found; None where nobody waits for that."""
    lost: Mapping[str, int]
    """What was missed of it, by kind."""


@dataclass(slots=True)
class Figures:
    """All that came of one technique. What doesn't apply to it, or wasn't reached, is None."""

    technique: str
    title: str
    failed: str = ""
    """Why it ended early."""
    cost: Cost | None = None
    drained_per_second: float | None = None
    """Rows of a backlog."""
    delay: Percentiles | None = None
    probes: int = 0
    """Rows by which the delay was measured."""
    changes: int = 0
    """Committed at the steady rate."""
    missed: Missed | None = None
    per_change: PerChange | None = None
    """The application's own reading and writing included."""
    table_bytes: int = 0
    """Kept on the source's disk at the end."""
    away: Away | None = None
    faults: list[str] = field(default_factory=list)
    """What it missed and isn't known to miss, as sentences."""

    @property
    def is_right(self) -> bool:
        """Whether it ran to its end and kept what it promises."""
        return not self.failed and not self.faults


def as_json(all_figures: Iterable[Figures]) -> list[dict[str, object]]:
    """What `--output json` prints."""
    return [_one(each) for each in all_figures]


def _one(figures: Figures) -> dict[str, object]:
    delay, missed = figures.delay, figures.missed
    per_change = figures.per_change
    return {
        "technique": figures.technique,
        "title": figures.title,
        "failed": figures.failed or None,
        "faults": figures.faults,
        "delay_p50_seconds": delay.p50 if delay else None,
        "delay_p99_seconds": delay.p99 if delay else None,
        "probes": figures.probes,
        **_cost(figures.cost),
        "changes": figures.changes,
        "compared": missed.compared if missed else None,
        "missed": dict(missed.counts) if missed else None,
        "rows_read_per_change": per_change.rows_read if per_change else None,
        "wal_bytes_per_change": per_change.wal_bytes if per_change else None,
        "table_bytes": figures.table_bytes,
        "away": _away(figures.away),
        "drained_rows_per_second": figures.drained_per_second,
    }


def _cost(cost: Cost | None) -> dict[str, object]:
    both = {"writer": cost.technique, "baseline": cost.baseline} if cost else {}
    found: dict[str, object] = {"writer_share": cost.share if cost else None}
    for name in ("writer", "baseline"):
        writers = both.get(name)
        found |= {
            f"{name}_transactions_per_second": writers.per_second if writers else None,
            f"{name}_p50_seconds": writers.latency.p50 if writers else None,
            f"{name}_p99_seconds": writers.latency.p99 if writers else None,
        }
    return found


def _away(away: Away | None) -> dict[str, object] | None:
    if away is None:
        return None
    return {
        "seconds": away.seconds,
        "changes": away.changes,
        "kept_bytes": away.kept_bytes,
        "catch_up_seconds": away.catch_up_seconds,
        "lost": dict(away.lost),
    }
