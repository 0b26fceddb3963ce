"""The oracle: what a read model lacks of all that was committed. Pure.

The journal says what happened, the rows of the source say what is, and the read model was read
after it had had its time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdc_daemon.compare.journal import Change

DELETES: Final = "deletes"
"""Rows that were deleted, and are still found."""
ROWS: Final = "rows"
"""Rows that are there, and aren't found."""
STALE: Final = "stale"
"""Rows that are found as they were before."""
INVENTED: Final = "invented"
"""What is found and was never committed."""
STATES: Final = "states"
"""Changes that never came: the row had changed again, or was gone, before anybody looked."""
KINDS: Final = (DELETES, ROWS, STALE, INVENTED, STATES)
PHRASES: Final = {
    DELETES: "deleted rows are still found",
    ROWS: "rows aren't found",
    STALE: "rows are found as they were before",
    INVENTED: "rows are found that were never committed",
    STATES: "changes never came",
}


@dataclass(frozen=True, slots=True)
class Missed:
    """How many changes a technique missed, by kind."""

    compared: int
    """Rows and documents that were held against each other."""
    counts: Mapping[str, int]
    """By kind, of all KINDS but STATES where nobody can tell."""

    def with_states(self, committed: int, received: int | None) -> Missed:
        """With the changes that never came, at least: what was read twice was counted twice."""
        if received is None:
            return self
        return replace(self, counts={**self.counts, STATES: max(0, committed - received)})

    def since(self, earlier: Missed | None) -> Missed:
        """What was missed beyond what had been missed before."""
        before = earlier.counts if earlier else {}
        later = {kind: max(0, n - before.get(kind, 0)) for kind, n in self.counts.items()}
        return replace(self, counts=later)

    def beyond(self, admitted: Iterable[str]) -> list[str]:
        """What a technique missed and isn't known to miss, as phrases."""
        wrong = {kind: n for kind, n in self.counts.items() if n and kind not in {*admitted}}
        return [f"{n:,} {PHRASES[kind]}" for kind, n in wrong.items()]


def judge(journal: Iterable[Change], rows: Mapping[int, int], found: Mapping[int, int]) -> Missed:
    """Hold what is found against the rows; `rows` and `found` are revisions by key."""
    deleted = {change.key for change in journal if change.revision is None}
    counts = dict.fromkeys((DELETES, ROWS, STALE, INVENTED), 0)
    keys = rows.keys() | found.keys()
    for key in keys:
        kind = _kind(rows.get(key), found.get(key), was_deleted=key in deleted)
        if kind is not None:
            counts[kind] += 1
    return Missed(len(keys), counts)


def _kind(row: int | None, found: int | None, *, was_deleted: bool) -> str | None:
    if row == found:
        return None
    if row is None:
        return DELETES if was_deleted else INVENTED
    if found is None:
        return ROWS
    return STALE if found < row else INVENTED
