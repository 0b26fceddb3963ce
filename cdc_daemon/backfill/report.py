"""What is shown of loads, as JSON: those under way, and the last that ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from cdc_daemon.backfill.speed import Speed
    from cdc_daemon.events import Load, Position, Relation

MOST_ENDED: Final = 20
"""So many loads that ended are remembered: enough for who waits for one of them."""


class UnderWay(Protocol):
    """A load of a table's rows, or a generation that is written from the state."""

    @property
    def relation(self) -> Relation:
        """The table; of a generation that of its root."""

    @property
    def names(self) -> tuple[str, ...]:
        """The projections that it is for."""

    @property
    def asked(self) -> Load:
        """What was to be done."""

    @property
    def repairs(self) -> bool:
        """As `Load.repairs` is."""

    @property
    def phase(self) -> str:
        """What it does now."""

    @property
    def rows(self) -> int:
        """How much of it is done."""

    @property
    def share_done(self) -> float:
        """0.0 to 1.0."""

    @property
    def fills(self) -> frozenset[str]:
        """What is filled: indices, or a table of the state."""

    @property
    def failure(self) -> Exception | None:
        """Why it can't go on."""

    def stored(self) -> Load:
        """As the checkpoint keeps it."""

    @property
    def speed(self) -> Speed:
        """How fast it is."""


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


def ended(load: UnderWay, outcome: str) -> Ended:
    """A load that is over just now."""
    reason = "" if load.failure is None else str(load.failure)
    table = load.relation.qualified_name
    return Ended(table, load.names, load.rows, load.asked.since, outcome, reason)


def report(load: UnderWay) -> dict[str, Any]:
    """How far a load is."""
    return {
        "table": load.relation.qualified_name,
        "projections": list(load.names),
        "repairs": load.repairs,
        "why": load.asked.why,
        "partly": bool(load.asked.where),
        "phase": load.phase,
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


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)
