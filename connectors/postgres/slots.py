"""Replication slots: what the server keeps for us."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from psycopg import errors

from cdc_daemon.errors import SlotInUseError, SourceError, StartAgainError
from cdc_daemon.events import Position
from cdc_daemon.ports import SlotHealth
from connectors.postgres.lsn import format_lsn, parse_lsn
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.ports import RetentionBounds
    from connectors.postgres.session import Connection

log = structlog.get_logger(__name__)

_SLOT: Final = """
select plugin, database, database = current_database(), active, active_pid,
       confirmed_flush_lsn - '0/0', wal_status = 'lost',
       coalesce((to_jsonb(s) ->> 'failover')::bool, false)
from pg_catalog.pg_replication_slots s where slot_name = %s
"""
_HEALTH: Final = """
with wal as (
  select case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
              else pg_current_wal_lsn() end as head
)
select active, greatest(0, head - restart_lsn), greatest(0, head - confirmed_flush_lsn),
       safe_wal_size
from pg_catalog.pg_replication_slots, wal where slot_name = %s
"""
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as pg_replication_slots shows it."""

    name: str
    active_pid: int | None
    confirmed: Position
    lost: bool
    """The server has removed log that we still needed: nothing can be read from it any more."""
    failover: bool = False
    """Standbys keep a copy of it (from PostgreSQL 17 on)."""


class NewSlot(NamedTuple):
    """What CREATE_REPLICATION_SLOT answers."""

    position: Position
    snapshot: str


def find_slot(connection: Connection, name: str) -> Slot | None:
    """Our slot, None if there is none. Raises SourceError if that name is someone else's."""
    with mapped_errors("read the replication slots"):
        found = connection.execute(_SLOT, [name]).fetchone()
    if found is None:
        return None
    plugin, database, here, active, pid, confirmed, lost, failover = found
    if plugin != "pgoutput" or not here:
        kind = f"a {plugin} slot of database {database}" if plugin else "a physical slot"
        raise SourceError(
            f"replication slot {name} exists, but is {kind}. Choose another name in source.slot, "
            f"or drop it if nobody needs it: select pg_drop_replication_slot('{name}')"
        )
    return Slot(name, pid if active else None, Position(int(confirmed or 0)), bool(lost), failover)


def wait_until_free(connection: Connection, name: str, wait_seconds: float) -> None:
    """Wait until no process uses the slot.

    Raises SlotInUseError after `wait_seconds`, naming the process.
    """
    deadline = time.monotonic() + wait_seconds
    announced = False
    while (slot := find_slot(connection, name)) is not None and slot.active_pid is not None:
        if not announced:
            log.warning("waiting_for_slot", slot=name, held_by_pid=slot.active_pid)
            announced = True
        if time.monotonic() >= deadline:
            raise SlotInUseError(
                f"replication slot {name} is still in use by the server process with pid "
                f"{slot.active_pid} after {wait_seconds:g} s (source.slot_wait): another daemon "
                "follows it. Stop that one, give this pipeline another name or source.slot, or end "
                f"the process: select pg_terminate_backend({slot.active_pid})"
            )
        time.sleep(_POLL_SECONDS)


def create_slot(
    connection: Connection, name: str, *, failover: bool, export: bool = True
) -> NewSlot:
    """Create the slot on a replication connection and, if it is to be, export its snapshot.

    The snapshot lives until the next command on that connection. Raises SlotInUseError if another
    process has just made one.
    """
    log.info("creating_slot", slot=name)
    options = f"SNAPSHOT '{'export' if export else 'nothing'}'"
    options += ", FAILOVER true" if failover else ""
    with mapped_errors("create the replication slot"), _not_ours(name):
        found = connection.execute(
            f'CREATE_REPLICATION_SLOT "{name}" LOGICAL pgoutput ({options})'.encode()
        ).fetchone()
    if found is None:
        raise SourceError(f"the server did not answer when replication slot {name} was created")
    return NewSlot(parse_lsn(found[1]), found[2] or "")


@contextmanager
def _not_ours(name: str) -> Iterator[None]:
    """Tell by an error of the server that another daemon is where we thought that nobody was."""
    try:
        yield
    except (errors.DuplicateObject, errors.ObjectInUse) as error:
        raise SlotInUseError(
            f"replication slot {name} was taken by another process just now: another daemon of "
            "this pipeline starts. If only one is to run, stop the other; if one is to wait for "
            "the other, set standby: true in both"
        ) from error


def require_place(connection: Connection, name: str, after: Position, wait_seconds: float) -> None:
    """Raise StartAgainError unless the slot still has what comes after that position.

    The server begins where the slot is, without a word, if that is beyond.
    """
    wait_until_free(connection, name, wait_seconds)
    slot = find_slot(connection, name)
    if slot is None or slot.lost:
        raise StartAgainError(f"replication slot {name} was dropped, or is lost")
    if slot.confirmed > after:
        raise StartAgainError(
            f"replication slot {name} has gone on to {format_lsn(slot.confirmed)}, and we are at "
            f"{format_lsn(after)}: somebody else has moved it"
        )


def require_failover(connection: Connection, slot: Slot) -> None:
    """Make a slot that is there already one that standbys keep a copy of.

    `connection`: a replication connection; nobody may use the slot.
    """
    if slot.failover or slot.lost:
        return
    with mapped_errors("let standbys keep a copy of the replication slot"):
        connection.execute(f'ALTER_REPLICATION_SLOT "{slot.name}" (FAILOVER true)'.encode())
    log.info("slot_failover", slot=slot.name)


def drop_slot(connection: Connection, name: str) -> None:
    """Drop the slot if it is there. Raises SlotInUseError if somebody uses it."""
    with mapped_errors("drop the replication slot"), _not_ours(name):
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots "
            "where slot_name = %s",
            [name],
        )


def slot_health(connection: Connection, name: str, bounds: RetentionBounds) -> SlotHealth | None:
    """How much log the server keeps because of the slot."""
    with mapped_errors("read the replication slots"):
        found = connection.execute(_HEALTH, [name]).fetchone()
    if found is None:
        return None
    active, retained, unconfirmed, safe = found
    return SlotHealth(
        name=name,
        active=active,
        retained_bytes=int(retained or 0),
        unconfirmed_bytes=int(unconfirmed or 0),
        safe_bytes=None if safe is None else int(safe),
        bounds=bounds,
    )
