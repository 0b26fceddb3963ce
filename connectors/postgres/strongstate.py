"""What the server shows of strong consistency: whom commits wait for, and who is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from connectors.postgres.session import mapped_errors
from connectors.postgres.standbynames import StandbyNames, daemon_name, guard_name, read_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.postgres.session import Connection

# The daemon's own is told by its slot: pg_stat_replication hides names from most roles.
_STANDBYS: Final = """
select r.application_name, r.state, r.sync_state, s.slot_name, coalesce(s.slot_type, 'physical'),
       greatest(0, pg_current_wal_insert_lsn() - r.replay_lsn)::int8
from pg_catalog.pg_stat_replication r
left join pg_catalog.pg_replication_slots s on s.active_pid = r.pid
order by r.pid
"""
_SETTING: Final = """
select setting, source from pg_catalog.pg_settings where name = 'synchronous_standby_names'
"""
_WAITING: Final = """
select count(*)::int from pg_catalog.pg_stat_activity where wait_event = 'SyncRep'
"""
_MAY_SEE: Final = "select pg_has_role('pg_read_all_stats', 'usage'), pg_is_in_recovery()"


@dataclass(frozen=True, slots=True)
class Standby:
    """A replication connection, as far as the role may see it."""

    name: str | None
    state: str | None
    """`streaming`, `catchup`, ..."""
    sync_state: str | None
    """`sync`, `potential`, `quorum` or `async`."""
    slot: str | None
    kind: str
    """`logical` or `physical`."""
    behind_bytes: int | None
    """Of the log, until it has confirmed as searchable, or applied."""


@dataclass(frozen=True, slots=True)
class StrongState:
    """All of it, at one moment."""

    setting: str
    setting_source: str
    """Where the server has the setting from."""
    names: StandbyNames
    standbys: Sequence[Standby]
    waiting: int | None
    """Commits that wait for a standby; None where the role may not see that."""
    may_see: bool
    """Whether the role sees names and states of others."""
    is_standby: bool
    """Whether the server is one itself."""
    daemon_name: str
    guard_name: str
    slot: str

    @property
    def daemon(self) -> Standby | None:
        """The stream of our slot."""
        return next((one for one in self.standbys if one.slot == self.slot), None)

    @property
    def guard(self) -> Standby | None:
        """The guard's stream."""
        name = self.guard_name.casefold()
        return next((one for one in self.standbys if (one.name or "").casefold() == name), None)

    @property
    def others(self) -> list[Standby]:
        """Physical standbys of other people."""
        return [
            one for one in self.standbys if one.kind == "physical" and one.name != self.guard_name
        ]

    @property
    def is_enabled(self) -> bool:
        """Whether commits are to wait for the daemon."""
        return self.names.place(self.daemon_name) > 0

    @property
    def is_replaced(self) -> bool:
        """Whether others take the daemon's place: as many are connected as are waited for."""
        there = {(one.name or "").casefold() for one in self.standbys}
        ours = {self.daemon_name.casefold(), self.guard_name.casefold()}
        found = sum(name.casefold() in there - ours for name in self.names.names)
        return found >= self.names.count

    @property
    def is_active(self) -> bool:
        """Whether they do."""
        daemon = self.daemon
        if daemon is None or not self.names.surely_includes(self.daemon_name):
            return False
        return daemon.sync_state in ({"sync", "quorum"} if self.may_see else {None})


def read_strong_state(connection: Connection, pipeline: str, slot: str) -> StrongState:
    """Ask the server."""
    with mapped_errors("read who commits wait for"):
        [(may_see, is_standby)] = connection.execute(_MAY_SEE)
        [(setting, source)] = connection.execute(_SETTING)
        found = [] if is_standby else connection.execute(_STANDBYS).fetchall()
        [(waiting,)] = connection.execute(_WAITING)
    return StrongState(
        setting=setting,
        setting_source=source,
        names=read_names(setting),
        standbys=[Standby(*row) for row in found],
        waiting=waiting if may_see else None,
        may_see=may_see,
        is_standby=is_standby,
        daemon_name=daemon_name(pipeline),
        guard_name=guard_name(pipeline),
        slot=slot,
    )
