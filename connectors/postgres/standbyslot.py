"""Makes a slot on a standby, which waits there until its primary has written who is running.

The primary writes that (a record called running-xacts) every 15 s while it is busy, and never while
it is idle; so it is asked to, again and again, until the slot is there.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog
from psycopg import errors

from cdc_daemon.errors import CdcError
from connectors.postgres.session import mapped_errors
from connectors.postgres.slots import create_slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Position
    from connectors.postgres.primary import Primary
    from connectors.postgres.session import Connection

log = structlog.get_logger(__name__)

REPEAT_SECONDS: Final = 0.25
"""A slot needs up to three of these records, and every transaction that was open to have ended."""
ANNOUNCED_EVERY: Final = 40
"""After so many a line in the log says what is waited for."""

_LOG_SNAPSHOT: Final = "select pg_log_standby_snapshot()"
_NUDGE: Final = "select pg_logical_emit_message(true, 'cdc-daemon', 'snapshot')"
"""What anybody may do: within 15 s the primary writes the record by itself then."""
_OPEN: Final = """
select pid, extract(epoch from clock_timestamp() - xact_start)::int, application_name
from pg_catalog.pg_stat_activity where backend_xid is not null order by xact_start
"""


def create_standby_slot(replication: Connection, name: str, primary: Primary) -> Position:
    """Make it on a replication connection; where it begins, which has been replayed."""
    with snapshots_logged(primary):
        return create_slot(replication, name, failover=False, export=False).position


@contextmanager
def snapshots_logged(primary: Primary) -> Iterator[None]:
    """Have the primary write who is running for as long as the block takes."""
    done = threading.Event()
    thread = threading.Thread(
        target=_log_until, args=(primary, done), name="slot-watcher", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _log_until(primary: Primary, done: threading.Event) -> None:
    count = 0
    while not done.wait(REPEAT_SECONDS if count else 0):
        count += 1
        try:
            with primary.connect() as connection:
                _log_snapshot(connection)
                if count % ANNOUNCED_EVERY == 0:
                    _announce(connection)
        except CdcError as error:
            log.warning("waiting_for_standby", why=str(error))


def _log_snapshot(connection: Connection) -> None:
    with mapped_errors("have the primary write who is running"):
        with suppress(errors.InsufficientPrivilege):
            connection.execute(_LOG_SNAPSHOT)
            return
        connection.execute(_NUDGE)


def _announce(connection: Connection) -> None:
    with mapped_errors("read what the slot waits for"):
        sessions = connection.execute(_OPEN).fetchall()
    log.warning(
        "waiting_for_standby",
        why="a replication slot on a standby begins when the standby has replayed who is running "
        "on the primary, and every transaction that was open then has ended",
        sessions=[
            {"pid": pid, "age_seconds": age, "application": name} for pid, age, name in sessions
        ],
        faster="grant execute on function pg_log_standby_snapshot to the role",
        look="on the standby: select pg_is_wal_replay_paused(), pg_last_wal_replay_lsn()",
    )
