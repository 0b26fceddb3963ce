"""Wait until what was committed before is visible: a commit may wait for a synchronous standby.

Such a commit is in the log, and may have been streamed and confirmed long ago, by a daemon that ran
before us; but a snapshot doesn't see it yet, and it doesn't come again. Rows read meanwhile would
be older than the documents that are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RetryError
from connectors.postgres.session import mapped_errors
from connectors.postgres.visibility import read_snapshot

if TYPE_CHECKING:
    from connectors.postgres.session import Connection

_RIGHTS: Final = """
select current_setting('synchronous_standby_names') <> '',
       pg_has_role('pg_read_all_stats', 'usage')
"""
_WAITING: Final = """
select pid::text || ' since ' || xact_start::text from pg_stat_activity where wait_event = 'SyncRep'
"""
_RUNNING: Final = "select pg_current_snapshot()::text"


class Settling:
    """Asked again and again; what begins after the first question is waited for by nobody."""

    def __init__(self) -> None:
        self._waited_for: frozenset[str] | None = None
        self._may_look = False
        """A role that is granted it meanwhile sees sessions instead of numbers: it begins again."""

    def require(self, connection: Connection) -> None:
        """Raise RetryError while a commit from before the first call isn't visible."""
        with mapped_errors("look for commits that wait for a standby"):
            [(may_wait, may_look)] = connection.execute(_RIGHTS)
            there = frozenset[str]()
            if may_wait and may_look:
                there = frozenset(one for (one,) in connection.execute(_WAITING))
            elif may_wait:
                [(snapshot,)] = connection.execute(_RUNNING)
                there = frozenset(map(str, read_snapshot(snapshot).running))
        if self._waited_for is None or may_look != self._may_look:
            self._waited_for, self._may_look = there, bool(may_look)
        self._waited_for &= there
        if not self._waited_for:
            return
        if may_look:
            raise RetryError(
                f"{len(self._waited_for)} commits wait for a synchronous standby, and their rows "
                "can't be read yet: loading begins once the standby has answered",
                reason="unsettled",
            )
        raise RetryError(
            f"loading begins once {len(self._waited_for)} running transactions have ended: one of "
            "them may be a commit that waits for a synchronous standby, and this role may not "
            "look. It needn't wait for the others once you: grant pg_read_all_stats to the role",
            reason="unsettled",
        )
