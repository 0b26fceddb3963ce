"""Existing rows beside the log: those of commits that are in it, and may not be visible yet.

A commit is in the log of the server before it is visible: a moment before, and for as long as it
takes where it waits for a synchronous standby. What lies before our place doesn't come to us any
more, so rows are read only once they show all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RetryError

if TYPE_CHECKING:
    from collections.abc import Collection

    from cdc_daemon.events import Relation
    from cdc_daemon.ports import ChunkReader
    from connectors.relay.topic import Found, LogTopic

RECENT_SECONDS: Final = 10.0
"""A commit that waits for nobody is visible within microseconds. What was written to the log of the
relay so long before its end is visible, unless it waits for a standby: readers see to those."""


def recent(log: LogTopic, last: Found) -> frozenset[int]:
    """The transactions of the log that may not be visible yet, when `last` was written just now.

    Those of an earlier history either have been since its failover, or are lost and never will.
    """
    since = last.written - RECENT_SECONDS
    low, high = log.bounds()
    offset = log.first_where(lambda one: one.written >= since, low, high)
    found = log.from_offset(offset, high)
    here = last.head.source_id
    return frozenset(one.place.xid for one in found if one.place.xid and one.head.source_id == here)


class LogChunkReader:
    """A `ChunkReader` that waits until certain transactions are visible. One thread owns it."""

    def __init__(self, reader: ChunkReader, recent: Collection[int]) -> None:
        self._reader = reader
        self._recent = recent
        self.plan = reader.plan
        self.check = reader.check
        self.read = reader.read
        self.read_keys = reader.read_keys
        self.visibility = reader.visibility
        self.close = reader.close

    def settle(self, joined: Relation | None = None) -> None:
        """As any reader does; and those must be visible."""
        self._reader.settle(joined)
        if self._recent:
            seen = self._reader.visibility()
            if not all(map(seen.sees, self._recent)):
                raise RetryError(
                    "transactions of the log aren't visible yet: they wait for a synchronous "
                    "standby. Rows are read once they are. Which ones wait: select pid, "
                    "backend_xid from pg_stat_activity where wait_event = 'SyncRep'",
                    reason="held",
                )
            self._recent = ()
