"""The shapes of tables, and how they belong to the publication: for who looks again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.postgres.membership import memberships
from connectors.postgres.shapes import PostgresShapeReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.timelines import Timeline


class PublishedShapeReader(PostgresShapeReader):
    """A `ShapeReader` that `ReadsMemberships` too."""

    def __init__(
        self,
        dsn: str,
        name: str,
        publication: str,
        timeline: Callable[[], Timeline | None],
        is_standby: Callable[[], bool | None],
    ) -> None:
        super().__init__(dsn, name, timeline, is_standby)
        self._publication = publication

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """Of those that are there; of none where there is no publication."""
        return memberships(self._connected(), self._publication, relations)
