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

MOST_NUMBERS: Final = 400_000
"""Of transactions in the snapshots that are kept: some 30 megabytes. Whoever asks of a read does so
while a chunk is read, and of older ones the answer is only more careful."""
_NUMBERS_BESIDE: Final = 10
"""What a snapshot takes beside the transactions that were running."""


class Read(NamedTuple):
    """One of them."""

    number: int
    """As in `Commit.xid`."""
    seen: SnapshotVisibility


class Reads:
    """All reads of a process. The reader adds, any thread asks."""

    def __init__(self) -> None:
        self._kept: deque[Read] = deque()
        self._numbers = 0
        self._lock = Lock()
        self._last = 0

    def add(self, seen: SnapshotVisibility) -> int:
        """The number of a read that has this snapshot."""
        with self._lock:
            self._last += 1
            self._kept.append(Read(self._last, seen))
            self._numbers += _numbers(seen)
            while self._numbers > MOST_NUMBERS and len(self._kept) > 1:
                self._numbers -= _numbers(self._kept.popleft().seen)
            return self._last

    def of(self, number: int) -> SnapshotVisibility | None:
        """What that read saw, or where it is too old to be known, what a later one saw."""
        with self._lock:
            if not self._kept:
                return None
            at = max(0, number - self._kept[0].number)
            return self._kept[at].seen if at < len(self._kept) else None


def _numbers(seen: SnapshotVisibility) -> int:
    return _NUMBERS_BESIDE + len(seen.running)


class ReadVisibility:
    """A `Visibility`: what one snapshot sees, by the numbers of reads."""

    def __init__(self, seen: SnapshotVisibility, reads: Reads) -> None:
        self._seen = seen
        self._reads = reads

    def sees(self, xid: int) -> bool:
        """Whether it sees everything that the read has brought."""
        read = self._reads.of(xid)
        return read is not None and self._seen.includes(read)
