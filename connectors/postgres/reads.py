"""Reads of a source that reads again and again: each is one snapshot, and counts as a transaction.

What a chunk's snapshot sees of the stream is then a question of two snapshots, not of the number
of a transaction. On one server they are in a row: each sees all that those before it see. Pure.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from connectors.postgres.visibility import SnapshotVisibility

MOST_READS: Final = 100_000
"""Reads whose snapshots are kept, some 300 bytes each: whoever asks does so within minutes."""


class Read(NamedTuple):
    """One of them."""

    number: int
    """As in `Commit.xid`."""
    seen: SnapshotVisibility


class Reads:
    """All reads of a process. The reader adds, any thread asks."""

    def __init__(self) -> None:
        self._kept: deque[Read] = deque(maxlen=MOST_READS)
        self._lock = Lock()
        self._last = 0

    def add(self, seen: SnapshotVisibility) -> int:
        """The number of a read that has this snapshot."""
        with self._lock:
            self._last += 1
            self._kept.append(Read(self._last, seen))
            return self._last

    def of(self, number: int) -> SnapshotVisibility | None:
        """What that read saw, or where it is too old to be known, what a later one saw."""
        with self._lock:
            if not self._kept:
                return None
            at = max(0, number - self._kept[0].number)
            return self._kept[at].seen if at < len(self._kept) else None


class ReadVisibility:
    """A `Visibility`: what one snapshot sees, by the numbers of reads."""

    def __init__(self, seen: SnapshotVisibility, reads: Reads) -> None:
        self._seen = seen
        self._reads = reads

    def sees(self, xid: int) -> bool:
        """Whether it sees everything that the read has brought."""
        read = self._reads.of(xid)
        return read is not None and self._seen.includes(read)
