"""Says which transactions a new slot waits for: the server itself waits in silence."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import CdcError
from connectors.postgres.session import connect, mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger(__name__)

PATIENCE_SECONDS: Final = 5.0
"""A transaction that is open for longer than this is worth a line in the log."""
REPEAT_SECONDS: Final = 60.0

# The server waits for every transaction that had written before the slot began, of any database,
# one after the other. Whose details another role may not see shows by its pid only.
_OPEN: Final = """
select pid, coalesce(extract(epoch from clock_timestamp() - xact_start)::int, 0),
       application_name, state, datname::text
from pg_catalog.pg_stat_activity
where pid = any(pg_catalog.pg_blocking_pids(%(pid)s))
   or (pid <> %(pid)s and backend_xid is not null and exists (
         select from pg_catalog.pg_locks
         where locktype = 'transactionid' and not granted and pid = %(pid)s))
order by xact_start
"""
_PREPARED: Final = """
select gid, database::text, extract(epoch from clock_timestamp() - prepared)::int
from pg_catalog.pg_prepared_xacts
"""


@contextmanager
def announced_waits(dsn: str, name: str, pid: int) -> Iterator[None]:
    """Log what the server process `pid` waits for, if the block takes more than some seconds."""
    done = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(dsn, name, pid, done), name="slot-watcher", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(dsn: str, name: str, pid: int, done: threading.Event) -> None:
    wait = PATIENCE_SECONDS
    while not done.wait(wait):
        try:
            _announce(dsn, name, pid)
        except CdcError as error:
            log.warning("waiting_for_transactions", unknown=str(error))
        wait = REPEAT_SECONDS


def _announce(dsn: str, name: str, pid: int) -> None:
    with connect(dsn, name=name) as connection, mapped_errors("read what the slot waits for"):
        sessions = connection.execute(_OPEN, {"pid": pid}).fetchall()
        prepared = connection.execute(_PREPARED).fetchall()
    log.warning(
        "waiting_for_transactions",
        why="a replication slot begins when every transaction that was open then has ended",
        sessions=[
            {"pid": each, "age_seconds": age, "application": app, "state": state, "database": db}
            for each, age, app, state, db in sessions
        ],
        prepared=[{"gid": gid, "database": db, "age_seconds": age} for gid, db, age in prepared],
        end_one="select pg_terminate_backend(pid), rollback prepared 'gid'",
    )
