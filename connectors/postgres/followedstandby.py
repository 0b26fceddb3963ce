"""The standby that is followed, as a reader of chunks sees it: how far it is, and its primary."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from connectors.postgres.primary import end_of_log
from connectors.postgres.replayed import wait_replayed
from connectors.postgres.writers import Writers

if TYPE_CHECKING:
    from cdc_daemon.events import Position, Relation
    from connectors.postgres.primary import Primary
    from connectors.postgres.replayed import Replayed
    from connectors.postgres.session import Connection
    from connectors.postgres.walpages import WalPages


class FollowedStandby:
    """One for each reader; what is known of how far the standby is they share."""

    def __init__(self, primary: Primary, replayed: Replayed) -> None:
        self._primary = primary
        self._replayed = replayed
        self._writers = Writers()
        self._ended: dict[str, Position] = {}
        """By table: where the primary's log ended when those who had written it had ended."""

    def seen(self, connection: Connection) -> Position:
        """What every snapshot sees from now on. Raises RetryError as `Replayed.before` does.

        Nobody gets to see less from then on: what is seen is forgotten.
        """
        position = self._replayed.before(connection)
        self._replayed.note(position)
        return position

    def settle(self, connection: Connection, pages: WalPages, joined: Relation | None) -> None:
        """Return once rows can be read that lack nothing of what the stream leaves out.

        Commits wait for nobody here. But who had written a table before the publication held it is
        known to the primary, and that they have ended must have been replayed.
        """
        if joined is not None:
            name = joined.qualified_name
            if name not in self._ended:
                with closing(self._primary.connect()) as primary:
                    self._writers.require_ended(primary, joined)
                    self._ended[name] = end_of_log(primary, pages)
            wait_replayed(connection, self._ended[name])
        self._replayed.before(connection)
