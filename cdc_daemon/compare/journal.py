"""The journal: every change that was committed, in the order in which each row had them. Pure.

A row is written by one client, which appends after its COMMIT has returned. What was rolled back
isn't in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Change(NamedTuple):
    """One committed change of one row."""

    key: int
    revision: int | None
    """Of the row from then on: a row's revisions only grow. None: it was deleted."""
    committed: float
    """When its COMMIT had returned, in seconds of a monotonic clock."""


def final_revisions(journal: Iterable[Change]) -> dict[int, int | None]:
    """The revision that each row had at last; None where it was deleted."""
    return {change.key: change.revision for change in journal}


def contradiction(journal: Iterable[Change], rows: Mapping[int, int]) -> str | None:
    """Where journal and source disagree, as a sentence: then nothing can be counted by them."""
    for key, revision in final_revisions(journal).items():
        if rows.get(key) != revision:
            return (
                f"the journal has revision {revision} of row {key} as its last, and the source has "
                f"{rows.get(key)}"
            )
    return None
