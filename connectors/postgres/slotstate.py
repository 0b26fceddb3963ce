"""A replication slot as its server shows it, whichever version that is, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.ports import RetentionBounds
    from connectors.postgres.session import Connection

OLD_CATALOG_XMIN: Final = 50_000_000
"""A quarter of autovacuum_freeze_max_age: catalogs have been swelling for long by then."""
HELD_BY_TRANSACTION_BYTES: Final = 64_000_000
"""Kept beyond what is unconfirmed: ordinarily the slot moves on every 15 s, by a few MB."""

# Columns that a version doesn't have are missing in the JSON: invalidation_reason, failover, synced
# and inactive_since came with 17. (conflicting, of 16, is true for any slot that is lost.)
_STATE: Final = """
with wal as (
  select case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
              else pg_current_wal_lsn() end as head
)
select to_jsonb(s), coalesce(s.database = current_database(), false), a.application_name::text,
       age(s.catalog_xmin), greatest(0, head - restart_lsn)::int8,
       greatest(0, head - confirmed_flush_lsn)::int8
from pg_catalog.pg_replication_slots s cross join wal
left join pg_catalog.pg_stat_activity a on a.pid = s.active_pid
where s.slot_name = %s
"""
_OPEN_TRANSACTIONS: Final = (
    "select pid, xact_start, query from pg_stat_activity where backend_xid is not null "
    "order by xact_start"
)
_CAUSES: Final = {
    "wal_removed": "more log was written than max_slot_wal_keep_size lets it keep; raise that",
    "rows_removed": "the standby had to remove rows; set hot_standby_feedback = on there",
    "wal_level_insufficient": "wal_level is not logical any more on the primary",
    "idle_timeout": "nobody read it for idle_replication_slot_timeout; raise that, or set it to 0",
}


@dataclass(frozen=True, slots=True)
class SlotState:
    """One row of pg_replication_slots, and what is reckoned from it."""

    slot: str
    plugin: str | None
    """None for a physical slot."""
    database: str | None
    here: bool
    """Whether it is of the database that we are connected to."""
    active: bool
    active_pid: int | None
    application: str | None
    """What the process that reads it calls itself."""
    restart_lsn: str | None
    confirmed_flush_lsn: str | None
    retained_bytes: int | None
    unconfirmed_bytes: int | None
    wal_status: str | None
    safe_wal_size: int | None
    invalidation_reason: str | None
    inactive_since: str | None
    catalog_xmin_age: int | None
    two_phase: bool
    failover: bool | None
    """None where the server is older than 17."""
    synced: bool | None
    temporary: bool

    @property
    def lost(self) -> bool:
        """Whether nothing can be read from it any more."""
        return self.wal_status == "lost" or self.invalidation_reason is not None


def read_state(connection: Connection, name: str) -> SlotState | None:
    """The slot of that name, whoever's it is; None if there is none."""
    with mapped_errors("read the replication slots"):
        found = connection.execute(_STATE, [name]).fetchone()
    if found is None:
        return None
    row: dict[str, Any] = found[0]
    _, here, application, xmin_age, retained, unconfirmed = found
    return SlotState(
        slot=name,
        here=here,
        application=application,
        catalog_xmin_age=xmin_age,
        retained_bytes=retained,
        unconfirmed_bytes=unconfirmed,
        invalidation_reason=row.get("invalidation_reason"),
        inactive_since=row.get("inactive_since"),
        failover=row.get("failover"),
        synced=row.get("synced"),
        **{key: row[key] for key in ("plugin", "database", "active", "active_pid", "wal_status")},
        **{key: row[key] for key in ("restart_lsn", "confirmed_flush_lsn", "safe_wal_size")},
        **{key: row[key] for key in ("two_phase", "temporary")},
    )


def meanings(state: SlotState, bounds: RetentionBounds) -> Iterator[str]:
    """What that means and what to do, a sentence each; none if all is well."""
    if state.plugin != "pgoutput" or not state.here:
        yield _stranger(state)
    elif state.lost:
        yield _lost(state)
    else:
        if not state.active:
            yield _unread(state)
        yield from _kept(state, bounds)
    if (state.catalog_xmin_age or 0) >= OLD_CATALOG_XMIN:
        yield (
            f"VACUUM can't clean the system catalogs of what is younger than "
            f"{state.catalog_xmin_age:,} transactions because of it: get the daemon going, or drop "
            "the slot"
        )
    if state.synced:
        yield "it is a copy of the primary's slot, and can be read only after a failover"
    if state.temporary:
        yield "it is temporary: it goes with the connection that made it"


def _stranger(state: SlotState) -> str:
    kind = f"a {state.plugin} slot of database {state.database}" if state.plugin else "physical"
    return f"it is {kind}, not the daemon's: choose another name in source.slot"


def _lost(state: SlotState) -> str:
    reason = state.invalidation_reason or "wal_removed"
    return (
        f"it is lost ({reason}): nothing can be read from it any more. Start the daemon, which "
        f"makes it anew and loads everything. So that it doesn't come again: "
        f"{_CAUSES.get(reason, 'see the log of the server')}"
    )


def _unread(state: SlotState) -> str:
    since = f" since {state.inactive_since}" if state.inactive_since else ""
    return (
        f"nobody reads it{since}, and the server keeps its log for it: start the daemon, or drop "
        "the slot if nobody needs it: cdc-daemon slot drop"
    )


def _kept(state: SlotState, bounds: RetentionBounds) -> Iterator[str]:
    retained, unconfirmed = state.retained_bytes or 0, state.unconfirmed_bytes or 0
    if state.wal_status == "unreserved":
        yield (
            "it is about to be lost: the next checkpoint may remove the log that it needs. Get the "
            "daemon going, or buy time: alter system set max_slot_wal_keep_size = '100GB'; select "
            "pg_reload_conf()"
        )
    for name, bound in (
        ("limit", bounds.limit_bytes),
        ("critical", bounds.critical_bytes),
        ("warn", bounds.warn_bytes),
    ):
        if bound is not None and retained >= bound:
            yield f"it keeps {retained:,} bytes, and source.wal.{name} is {bound:,}"
            break
    if retained - unconfirmed > HELD_BY_TRANSACTION_BYTES:
        yield (
            f"{retained - unconfirmed:,} bytes are kept for a transaction that is open in the "
            f"source, and not for the daemon. See which: {_OPEN_TRANSACTIONS}"
        )
