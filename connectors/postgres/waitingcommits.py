"""Lets commits go that wait for us, where we would have to wait for them.

Such a commit is in the log, and nobody sees what it did: it still counts as running, and holds its
locks. While the daemon doesn't stream it can't answer; and what it does before it streams (looking
at a table that was altered, making a slot) may wait for just that commit. So that is cancelled: it
has succeeded, and its client gets the server's warning that it may not be searchable yet.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog
from psycopg import errors

from cdc_daemon.errors import CdcError, RetryError
from connectors.postgres.session import connect, mapped_errors
from connectors.postgres.standbynames import read_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.postgres.session import Connection

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 1.0
"""What waits for a COMMIT that doesn't wait for us is through by then, mostly."""

_XID_MASK: Final = 0xFFFFFFFF
_NAMES: Final = "show synchronous_standby_names"
# Locks are seen by every role, what their holders wait for is not: null.
_HOLDER: Final = """
select l.pid, a.wait_event = 'SyncRep'
from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted
  and l.transactionid = %s::text::xid
"""
_IN_OUR_WAY: Final = """
select distinct b.pid, b.wait_event = 'SyncRep'
from pg_catalog.pg_stat_activity ours
cross join unnest(pg_catalog.pg_blocking_pids(ours.pid)) as blocking (pid)
join pg_catalog.pg_stat_activity b on b.pid = blocking.pid
where ours.application_name = %s and b.application_name is distinct from %s
"""
_CANCEL: Final = "select pg_cancel_backend(%s)"


@contextmanager
def commits_let_go(dsn: str, daemon: str, standby: str = "") -> Iterator[None]:
    """While this lasts, let commits go that wait for the daemon and keep it from streaming.

    `standby`: whom the server waits for, where that is another one, which waits for the daemon.
    """
    ended = threading.Event()
    watcher = threading.Thread(
        target=_watch,
        args=(dsn, daemon, standby or daemon, ended),
        name="commit-watcher",
        daemon=True,
    )
    watcher.start()
    try:
        yield
    finally:
        ended.set()


def let_commit_go(connection: Connection, daemon: str, xid: int) -> None:
    """Have that transaction's COMMIT return, if it waits for the daemon of that name.

    Raises RetryError until it has.
    """
    with mapped_errors("look for commits that wait"):
        found = connection.execute(_HOLDER, [xid & _XID_MASK]).fetchone()
    if found is None or not _is_named(connection, daemon):
        return
    pid, waits = found
    if waits:
        _cancel(connection, pid)
    raise RetryError(
        f"transaction {xid} has changed a table, and nobody sees that before its COMMIT returns",
        reason="held",
    )


def require_ended(connection: Connection, xid: int) -> None:
    """Raise RetryError while a transaction of the stream isn't visible, whoever it waits for."""
    with mapped_errors("look for commits that wait"):
        found = connection.execute(_HOLDER, [xid & _XID_MASK]).fetchone()
    if found is not None:
        raise RetryError(
            f"transaction {xid} has made a type, and nobody sees that before its COMMIT returns",
            reason="held",
        )


def _watch(dsn: str, daemon: str, standby: str, ended: threading.Event) -> None:
    """On a connection of its own each time: it may outlive what it watches by one look."""
    said: set[int] = set()
    while not ended.wait(LOOK_SECONDS):
        try:
            with connect(dsn, name=f"{daemon}:watch") as connection:
                _look(connection, daemon, standby, said)
        except CdcError as error:
            log.debug("commits_not_seen", error=str(error))


def _look(connection: Connection, daemon: str, standby: str, said: set[int]) -> None:
    if not _is_named(connection, standby):
        return
    with mapped_errors("look for commits that wait"):
        blocking = connection.execute(_IN_OUR_WAY, [daemon, daemon]).fetchall()
    for pid, waits in blocking:
        if waits:
            _cancel(connection, pid)
        elif waits is None and pid not in said:
            said.add(pid)
            _say_how(pid)


def _is_named(connection: Connection, daemon: str) -> bool:
    with mapped_errors("look for commits that wait"):
        [(setting,)] = connection.execute(_NAMES.encode())
    return read_names(setting).place(daemon) > 0


def _cancel(connection: Connection, pid: int) -> None:
    with mapped_errors("let a commit go"):
        try:
            connection.execute(_CANCEL, [pid])
        except errors.InsufficientPrivilege:
            _say_how(pid)
            return
    log.warning("commit_let_go", pid=pid)


def _say_how(pid: int) -> None:
    log.error(
        "commit_in_the_way",
        pid=pid,
        end_it=f"select pg_cancel_backend({pid})",
        why="its COMMIT may wait for the daemon, which waits for it before it can stream. The "
        "daemon ends that itself once you: grant pg_read_all_stats, pg_signal_backend to its role",
    )
