"""Reads rows of a standby, where the order of the log is that in which commits become visible."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from connectors.postgres.chunkreader import PostgresChunkReader
from connectors.postgres.primary import end_of_log
from connectors.postgres.replayed import wait_replayed
from connectors.postgres.visibility import ReplayedVisibility
from connectors.postgres.writers import Writers

if TYPE_CHECKING:
    from cdc_daemon.events import Position, Relation
    from cdc_daemon.ports import Visibility
    from connectors.postgres.primary import Primary
    from connectors.postgres.replayed import Replayed
    from connectors.postgres.session import Connection


class StandbyChunkReader(PostgresChunkReader):
    """A `ChunkReader` of a standby. How far that is its source and all of its readers share."""

    of_standby = True

    def __init__(
        self, dsn: str, name: str, chunk_bytes: int, primary: Primary, replayed: Replayed
    ) -> None:
        super().__init__(dsn, name, None, chunk_bytes, None)
        self._primary = primary
        self._replayed = replayed
        self._writers = Writers()
        self._ended: dict[str, Position] = {}
        """By table: where the primary's log ended when those who had written it had ended."""

    def settle(self, joined: Relation | None = None) -> None:
        """Commits wait for nobody here, but the standby may lag behind what comes no more.

        Who had written a table before the publication held it is known to the primary, and that
        they have ended must have been replayed.
        """
        connection = self._connected()
        if joined is not None:
            self._wait_for_writers(connection, joined)
        self._replayed.before(connection)

    def _wait_for_writers(self, connection: Connection, joined: Relation) -> None:
        name = joined.qualified_name
        if name not in self._ended:
            with closing(self._primary.connect()) as primary:
                self._writers.require_ended(primary, joined)
                self._ended[name] = end_of_log(primary, self._pages)
        wait_replayed(connection, self._ended[name])

    def _sees_to(self, connection: Connection) -> Position:
        """How far the standby is. Nobody may see less from then on: what is seen is forgotten."""
        position = self._replayed.before(connection)
        self._replayed.note(position)
        return position

    def _seeing_to(self, sees_to: Position, snapshot: str) -> Visibility:  # noqa: ARG002 - it doesn't say
        return ReplayedVisibility(sees_to)
