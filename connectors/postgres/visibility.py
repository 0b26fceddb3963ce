"""What a snapshot sees, by the numbers of transactions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Final

_EPOCH: Final = 1 << 32
"""The stream numbers transactions with 32 bits, and begins anew after this many."""
_REPLAYED: Final = "replayed "


@dataclass(frozen=True, slots=True)
class SnapshotVisibility:
    """A `Visibility`: what pg_current_snapshot() says, with numbers of 64 bits.

    A transaction ends for others only after its commit is in the log and, where commits wait for a
    synchronous standby, after that wait: until then it is one of `running`, however long ago the
    stream has shown its commit. Subtransactions are left out, as they are in the stream.
    """

    xmin: int
    """Every transaction below it has ended."""
    xmax: int
    """None from here on had ended."""
    running: frozenset[int]
    """Those in between that had not ended."""

    def sees(self, xid: int) -> bool:
        """Whether the transaction, of which `xid` is the lower 32 bits, was committed before."""
        return self._sees(_widened(xid, self.xmax))

    def includes(self, other: SnapshotVisibility) -> bool:
        """Whether it sees everything that `other` sees."""
        unseen = chain(self.running, range(self.xmax, other.xmax))
        return not any(other._sees(xid) for xid in unseen)

    def _sees(self, wide: int) -> bool:
        return wide < self.xmin or (wide < self.xmax and wide not in self.running)


@dataclass(frozen=True, slots=True)
class ReplayedVisibility:
    """A `Visibility` of a standby, where commits become visible in the order of the log.

    The numbers of transactions are no use there: pg_current_snapshot() doesn't list those that are
    running. So a commit of a standby's stream is numbered by its position.
    """

    replayed: int
    """What lies before had been replayed before the snapshot was taken."""

    def sees(self, xid: int) -> bool:
        """Whether the transaction whose commit ends at `xid` was replayed before."""
        return xid <= self.replayed

    def __str__(self) -> str:
        return f"{_REPLAYED}{self.replayed}"


SEES_ALL: Final = ReplayedVisibility((1 << 64) - 1)


def read_replayed(text: str) -> ReplayedVisibility | None:
    """The opposite of `str`; None where the text is of a snapshot."""
    _, found, replayed = text.partition(_REPLAYED)
    return ReplayedVisibility(int(replayed)) if found else None


def read_snapshot(text: str) -> SnapshotVisibility:
    """Read `xmin:xmax:running,running`, as pg_current_snapshot() writes it.

    Raises ValueError on anything else.
    """
    xmin, xmax, running = text.split(":")
    return SnapshotVisibility(
        int(xmin), int(xmax), frozenset(int(each) for each in running.split(",") if each)
    )


def _widened(xid: int, near: int) -> int:
    """The number nearest to `near` that ends in these 32 bits.

    Transactions live at most half an epoch apart: the server stops before they get older.
    """
    ahead = (xid - near) % _EPOCH
    return near + ahead - (_EPOCH if ahead >= _EPOCH // 2 else 0)
