"""Which transactions of the stream are left to the load of a table that has changed. Pure.

Such a load begins after the change, so that its chunks see every transaction from before it. Those
are left out of the stream, whatever the shape of their rows; all others are newer than the change.
Why that is exact: `docs/decisions/0020-schema-changes-in-place.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdc_daemon.events import Coverage, Position
    from cdc_daemon.ports import Visibility


class Covered(NamedTuple):
    """One table's coverage, with what it sees."""

    coverage: Coverage
    seen: Visibility

    def leaves_out(self, position: int, xid: int) -> bool:
        """Whether the load has what that transaction did."""
        return position <= self.coverage.end and self.seen.sees(xid)

    def version(self, position: Position) -> Position:
        """What is not left out must outlive the end of the load, which sweeps below the floor."""
        return max(position, self.coverage.floor)


def covered_tables(
    coverages: Mapping[str, Coverage], visibility: Callable[[str], Visibility]
) -> dict[str, Covered]:
    """By the names of the tables."""
    return {
        table: Covered(coverage, visibility(coverage.seen)) for table, coverage in coverages.items()
    }
