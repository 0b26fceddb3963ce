"""What a load that begins now will see, whatever the stream still brings of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.events import Coverage
from connectors.postgres.chunkreader import wal_pages
from connectors.postgres.session import mapped_errors
from connectors.postgres.visibility import ReplayedVisibility

if TYPE_CHECKING:
    from cdc_daemon.events import Position
    from connectors.postgres.replayed import Replayed
    from connectors.postgres.session import Connection
    from connectors.postgres.walpages import WalPages

_INSERT_LSN: Final = "select pg_current_wal_insert_lsn() - '0/0'"
_SNAPSHOT: Final = "select pg_current_snapshot()::text"


def coverage(connection: Connection) -> Coverage:
    """The order of looking counts: the end of the log, what is visible, the end of the log."""
    pages = wal_pages(connection)
    floor = _end_of_log(connection, pages)
    with mapped_errors("take a snapshot"):
        [(seen,)] = connection.execute(_SNAPSHOT)
    return Coverage(seen, floor, _end_of_log(connection, pages))


def coverage_of_standby(connection: Connection, replayed: Replayed) -> Coverage:
    """There the order of the log is that in which commits become visible: a position says all."""
    position = replayed.whole(connection)
    return Coverage(str(ReplayedVisibility(position)), position, position)


def _end_of_log(connection: Connection, pages: WalPages) -> Position:
    with mapped_errors("read the server's position"):
        [(insert,)] = connection.execute(_INSERT_LSN)
    return pages.last_end(int(insert))
