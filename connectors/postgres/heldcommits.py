"""Commits that the slot's stream leaves out, and that new snapshots don't see yet.

A commit is in the log before it is visible: a moment before, and for as long as it takes where it
waits for a synchronous standby. One that lies before the slot's consistent point is in the slot's
own snapshot and not in its stream. A chunk that is read while it is invisible lacks what it wrote,
and nothing would ever bring that. So chunks are planned only when new snapshots see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from cdc_daemon.errors import RetryError
from connectors.postgres.session import mapped_errors
from connectors.postgres.visibility import SnapshotVisibility, read_snapshot

if TYPE_CHECKING:
    from connectors.postgres.session import Connection

_SNAPSHOT: Final = "select pg_current_snapshot()::text"


def committed_before(connection: Connection, snapshot: str) -> SnapshotVisibility:
    """What the exported snapshot of a new slot sees: the stream has everything else."""
    with mapped_errors("import the snapshot of the slot"), connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot)))
        [(seen,)] = connection.execute(_SNAPSHOT)
    return read_snapshot(seen)


def require_visible(connection: Connection, before: SnapshotVisibility) -> None:
    """Raise RetryError while a new snapshot doesn't see everything that `before` sees."""
    with mapped_errors("take a snapshot"):
        [(now,)] = connection.execute(_SNAPSHOT)
    if not read_snapshot(now).includes(before):
        raise RetryError(
            "transactions that committed before the replication slot began aren't visible yet: "
            "they wait for a synchronous standby. Rows are read once they are. Which ones wait: "
            "select pid, backend_xid from pg_stat_activity where wait_event = 'SyncRep'",
            reason="held",
        )
