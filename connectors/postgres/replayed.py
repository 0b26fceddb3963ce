"""How far a standby has replayed its log: that is what its snapshots see, all of it and no more.

A commit is visible there from when its record is replayed, which is a moment before the standby
says so. So what was replayed before a snapshot is taken is what the snapshot surely sees, and what
it may see beside that ends with the record after the last that was replayed afterwards.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RetryError
from cdc_daemon.events import NOWHERE, Commit, Position
from connectors.postgres.lsn import format_lsn
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from cdc_daemon.events import Event
    from connectors.postgres.session import Connection

# Whoever reads it while the log is streamed, and nothing of it is left to be replayed, knows that
# no record is being replayed: what is received is looked at first.
END_OF_LOG: Final = """
case when not pg_is_in_recovery() then pg_current_wal_insert_lsn()
     when exists (select from pg_catalog.pg_stat_wal_receiver)
          and pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then pg_last_wal_replay_lsn()
     else pg_last_wal_replay_lsn() + 1 end - '0/0'
"""
"""At or beyond every commit that a snapshot sees which was taken before."""

_REPLAYED: Final = """
select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() - '0/0' end
"""
_IN_BETWEEN: Final = f"select {END_OF_LOG}"
LOOK_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 5.0
"""For a record that is being replayed, or that has to come: longer takes one that drops large
files, or a standby that is paused. Then it is tried again."""


class Replayed:
    """The least that the standby has replayed, as it was seen from here. For any thread.

    A standby that has crashed, or one beside it that `dsn` leads to, may lag behind what was seen
    already: no rows are read there until it is as far again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._least = NOWHERE

    def note(self, position: Position) -> None:
        """Everything up to there was seen, or comes in no stream any more."""
        with self._lock:
            self._least = max(self._least, position)

    def before(self, connection: Connection) -> Position:
        """What every snapshot sees that is taken from now on.

        Raises RetryError if the server has been promoted, or lags behind.
        """
        with self._lock:
            least = self._least  # before it is looked: others see more meanwhile
        position = replayed(connection)
        if position < least:
            raise RetryError(
                f"the standby has replayed its log up to {format_lsn(position)}, and "
                f"{format_lsn(least)} was seen already: it has been started again, or another one "
                "answers. Its rows are read once it is as far",
                reason="standby",
            )
        return position

    def whole(self, connection: Connection) -> Position:
        """A position up to which everything is visible, and beyond which nothing was until now.

        Waits for the record that may be being replayed.
        """
        with mapped_errors("look how far the standby has replayed its log"):
            [(end,)] = connection.execute(_IN_BETWEEN)
        position = wait_replayed(connection, Position(int(end)))
        self.note(position)
        return position


def numbered_by_position(events: list[Event]) -> list[Event]:
    """The commits of a standby's stream, as `ReplayedVisibility` knows them."""
    return [
        replace(event, xid=event.position) if type(event) is Commit else event for event in events
    ]


def replayed(connection: Connection) -> Position:
    """How far a standby is. Raises RetryError on a primary."""
    with mapped_errors("look how far the standby has replayed its log"):
        [(position,)] = connection.execute(_REPLAYED)
    if position is None:
        raise RetryError("the standby has been promoted", reason="failover")
    return Position(int(position))


def wait_replayed(connection: Connection, wanted: Position) -> Position:
    """Where the standby is, once that is `wanted` or beyond. Raises RetryError after a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (position := replayed(connection)) < wanted:
        if time.monotonic() >= deadline:
            raise RetryError(
                f"the standby has replayed its log up to {format_lsn(position)}, and is waited for "
                f"at {format_lsn(wanted)}. If that stays so, look whether it is paused, or has "
                "lost its primary: select pg_is_wal_replay_paused(), pg_last_wal_receive_lsn()",
                reason="standby",
            )
        time.sleep(LOOK_SECONDS)
    return position
