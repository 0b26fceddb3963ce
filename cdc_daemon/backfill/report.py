"""What is shown of loads, as JSON: those under way, and the last that ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cdc_daemon.backfill.loads import ActiveLoad
    from cdc_daemon.events import Position

MOST_ENDED: Final = 20
"""So many loads that ended are remembered: enough for who waits for one of them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A load that is over."""

    table: str
    projections: tuple[str, ...]
    rows: int
    since: Position
    outcome: str
    """`loaded`, `repaired`, `cancelled` or `failed`."""
    reason: str = ""
    time: float = field(default_factory=time.time)


def report(load: ActiveLoad) -> dict[str, Any]:
    """How far a load is."""
    return {
        "table": load.relation.qualified_name,
        "projections": list(load.names),
        "repairs": load.repairs,
        "why": load.asked.why,
        "partly": bool(load.asked.where),
        "phase": phase(load),
        "rows": load.rows,
        "share": round(load.share_done, 4),
        "rows_per_second": _rounded(load.speed.rows_per_second()),
        "seconds_left": _rounded(load.speed.seconds_left()),
    }


def report_ended(ended: Ended) -> dict[str, Any]:
    """How a load ended."""
    return {
        "table": ended.table,
        "projections": list(ended.projections),
        "outcome": ended.outcome,
        "reason": ended.reason,
        "rows": ended.rows,
        "time": ended.time,
    }


def phase(load: ActiveLoad) -> str:
    """What a load does: `planning`, `reading`, or `finishing` (all rows are durable)."""
    if not load.planned:
        return "planning"
    return "finishing" if load.is_done else "reading"


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)
