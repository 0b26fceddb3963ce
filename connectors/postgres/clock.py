"""The source's clock and position, sampled on a connection of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RetryError
from cdc_daemon.events import Position
from cdc_daemon.ports import ClockSample, SlotHealth, Standing
from connectors.postgres.session import connect, mapped_errors
from connectors.postgres.slots import slot_health
from connectors.postgres.standbynames import read_names
from connectors.postgres.walpolicy import require_below_limit

if TYPE_CHECKING:
    from connectors.postgres.config import WalConfig
    from connectors.postgres.session import Connection

_SAMPLE: Final = """
select extract(epoch from clock_timestamp())::float8,
       case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
            else pg_current_wal_flush_lsn() end - '0/0'
"""
_NUDGE: Final = "select pg_logical_emit_message(true, 'cdc-daemon', 'clock')"
_ENDS: Final = """
select pg_current_wal_insert_lsn() - '0/0', pg_current_wal_flush_lsn() - '0/0'
"""
_IS_STANDBY: Final = "select pg_is_in_recovery()"
_TIMELINE: Final = """
select case when not pg_is_in_recovery()
            then left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) end
"""
_STANDING: Final = """
select current_setting('synchronous_standby_names'), r.pid is not null, r.sync_state
from (select 1) as one
left join pg_catalog.pg_replication_slots s on s.slot_name = %s
left join pg_catalog.pg_stat_replication r on r.pid = s.active_pid
"""
_STATEMENT_TIMEOUT: Final = "set statement_timeout = '5s'"


class DatabaseClock:
    """A `SourceClock` of a database that keeps nothing for us, and whose commits don't wait.

    One thread owns it; it connects again by itself.
    """

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._connection: Connection | None = None

    def sample(self) -> ClockSample:
        """The server's time and flushed position. Raises RetryError if it can't be reached."""
        connection = self.connected()
        before = time.monotonic()
        with mapped_errors("read the server's clock"):
            found = connection.execute(_SAMPLE).fetchone()
        if found is None or found[1] is None:
            raise RetryError("the server has no position yet", reason="unavailable")
        return ClockSample(found[0], Position(int(found[1])), time.monotonic() - before)

    def is_standby(self) -> bool:
        """Whether the server is one just now."""
        with mapped_errors("look whether the server is a standby"):
            [(is_standby,)] = self.connected().execute(_IS_STANDBY)
        return bool(is_standby)

    def timeline(self) -> int:
        """The number of the timeline that a primary writes. Raises RetryError on a standby."""
        with mapped_errors("look which timeline the primary is in"):
            [(number,)] = self.connected().execute(_TIMELINE)
        if number is None:
            raise RetryError("source.primary_dsn leads to a standby just now", reason="standby")
        return int(number, 16)

    def nudge(self) -> None:
        """Write a message to the log: the flushed position may lie inside a half flushed record."""
        with mapped_errors("write a logical message"):
            self.connected().execute(_NUDGE)

    def reach(self, position: Position) -> Position:
        """Where the log ends; what of it up to `position` isn't flushed is flushed by a message.

        Only what is flushed is streamed, and on an idle server it may be a while until the rest is:
        what others have written and not committed, or commits with synchronous_commit = off.
        """
        with mapped_errors("read where the server's log ends"):
            [(end, flushed)] = self.connected().execute(_ENDS)
        if flushed < position <= end:
            self.nudge()
        return Position(int(end))

    def slot_health(self) -> SlotHealth | None:
        """Nothing."""
        return None

    def standing(self) -> Standing:
        """They never do."""
        return Standing()

    def connected(self) -> Connection:
        """The connection, made again where it was lost."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn, name=self._name)
            with mapped_errors("set up a session"):
                self._connection.execute(_STATEMENT_TIMEOUT)
        return self._connection

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresClock(DatabaseClock):
    """The clock of a source that has a slot."""

    def __init__(self, dsn: str, name: str, slot: str, wal: WalConfig) -> None:
        super().__init__(dsn, name)
        self._slot = slot
        self._wal = wal

    def slot_health(self) -> SlotHealth | None:
        """What the server keeps for us. Raises RetentionLimitError if the slot is to go."""
        health = slot_health(self.connected(), self._slot, self._wal.bounds())
        if health is not None and self._wal.at_limit == "drop":
            require_below_limit(health)
        return health

    def standing(self) -> Standing:
        """Whether commits wait for us: by `synchronous_standby_names`, and by what they do now.

        A role without pg_read_all_stats sees only the setting, and that our stream is there.
        """
        with mapped_errors("read who commits wait for"):
            found = self.connected().execute(_STANDING, [self._slot]).fetchone()
        setting, is_connected, state = found or ("", False, None)
        names = read_names(setting)
        inferred = is_connected and names.surely_includes(self._name)
        return Standing(
            named=names.place(self._name) > 0,
            synchronous=state == "sync" or (inferred and state in {None, "quorum"}),
        )
