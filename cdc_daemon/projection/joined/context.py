"""What all levels of a plan share while it is checked, and the rules that hold for every one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cdc_daemon.projection.identity import is_streamed
from cdc_daemon.projection.joined.keys import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.config.mistakes import Path
    from cdc_daemon.config.projections import ProjectionConfig
    from cdc_daemon.events import Relation
    from cdc_daemon.projection.drafting import Mistakes
    from cdc_daemon.projection.showing import Showing

MOST_LEVELS: Final = 500
"""In one plan: embeds that repeat themselves within each other would have no end otherwise."""


@dataclass
class Context:
    """What all levels of a plan share."""

    projection: str
    config: ProjectionConfig
    tables: Mapping[str, Relation]
    mistakes: Mistakes
    showing: Showing
    levels: int = 0

    @property
    def may_miss(self) -> bool:
        """Whether fields may name columns that aren't there."""
        return self.config.missing_columns is None

    def check_key(self, path: Path, table: Relation) -> None:
        """Rows are kept by what their changes name them by."""
        if is_streamed(path, table, self.mistakes) and not key_of(table):
            self.mistakes.add(
                path,
                f"table {table.qualified_name} has no primary key, by which its rows could be kept "
                "and put in order: add one, or run: alter table "
                f"{table.qualified_name} replica identity using index NAME",
            )

    def has_room(self, path: Path) -> bool:
        """Count one level; note it if they are too many."""
        self.levels += 1
        if self.levels > MOST_LEVELS:
            self.mistakes.add(
                path, f"more than {MOST_LEVELS} embeds in one projection: lower depth"
            )
        return self.levels <= MOST_LEVELS
