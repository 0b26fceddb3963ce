"""How each table is polled. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectors.polling.choosing import EVERY_ROW, at_or_after, written_since
from connectors.polling.schedule import read_schedule
from connectors.postgres.visibility import read_snapshot

if TYPE_CHECKING:
    from cdc_daemon.events import Relation
    from connectors.polling.choosing import Rising
    from connectors.polling.config import TableConfig
    from connectors.polling.kept import Bound
    from connectors.postgres.visibility import SnapshotVisibility


@dataclass(frozen=True, slots=True)
class Table:
    """One table, as the configuration and the catalog have it."""

    relation: Relation
    config: TableConfig
    rising: Rising | None = None

    @property
    def name(self) -> str:
        """`schema.name`."""
        return self.relation.qualified_name

    @property
    def membership(self) -> str:
        """How it is followed, as text: where it is another text, changes may have been missed."""
        by = self.rising.column if self.rising else str(self.config.by)
        compared = ", and compared" if self.config.compare else ""
        deleted = f", deleted where {self.config.deleted}" if self.config.deleted else ""
        return f"polled by {by}{compared}{deleted}"

    def is_compared(self, bound: Bound, now: float) -> bool:
        """Whether a poll of now compares all of it."""
        if self.config.compare is None or not bound.is_filled:
            return self.config.compares
        return read_schedule(self.config.compare).after(bound.compared) <= now

    def since(self, bound: Bound, now: SnapshotVisibility, *, gives_same: bool) -> str:
        """The condition of the rows that are read where not all of it is compared.

        `gives_same`: rows are read beside the poll. One whose column isn't set when it is written
        may move among their blocks, and would be in none.
        """
        written = written_since(read_snapshot(bound.seen), now)
        if self.rising is None:
            return written
        risen = at_or_after(self.rising, bound.value)
        if not gives_same:
            return risen
        return EVERY_ROW if EVERY_ROW in (risen, written) else f"({risen}) or ({written})"
