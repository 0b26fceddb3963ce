"""Tokens: what clients bring to wait for their own commits. Pure.

`SYSTEM/TIMELINE:LSN`, the history and the position after a COMMIT, or the LSN alone. One that was
taken before a failover is good as far as its timeline is the server's own: what lies beyond the
place where that was left was lost. Who can't ask the server for that place knows a part of it at
most, and refuses what lies beyond: a failover mustn't be mistaken for success.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import ForeignTokenError, TokenError
from connectors.postgres.lsn import format_lsn, parse_lsn
from connectors.postgres.timelines import Timeline, read_timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.events import Position
    from connectors.postgres.walpages import WalPages

_EPOCH: Final = re.compile(r"[0-9]{1,20}/[0-9]{1,10}", re.ASCII)
_LSN: Final = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", re.ASCII)
_EXPECTED: Final = (
    "expected SYSTEM/TIMELINE:LSN, such as 7412345678901234567/1:0/16B3748, or an LSN alone, such "
    "as 0/16B3748. After COMMIT: select pg_current_wal_insert_lsn()"
)
_BARE: Final = (
    "a version must say its history, for one of another history would never be repaired: expected "
    "SYSTEM/TIMELINE:LSN, such as 7412345678901234567/1:0/16B3748, read inside the transaction "
    "after its last write"
)
_LONGEST_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class PostgresTokens:
    """A `TokenReader` of the history that a server is in."""

    timeline: Timeline
    left: Mapping[int, Position]
    """Where earlier timelines were left, by their numbers."""
    pages: WalPages
    is_exact: bool = True
    """Or else they are shared so far at least, and those that aren't there may be as well."""

    @property
    def epoch(self) -> str:
        """System identifier and timeline."""
        return str(self.timeline)

    def read(self, token: str) -> Position:
        """Where the last record ended when the token was taken."""
        epoch, colon, lsn = token.strip().rpartition(":")
        if not _LSN.fullmatch(lsn) or (colon and not _EPOCH.fullmatch(epoch)):
            raise TokenError(f"not a token: {token[:_LONGEST_SHOWN]!r}. {_EXPECTED}")
        position = self.pages.last_end(parse_lsn(lsn))
        if colon:
            self._require_ours(read_timeline(epoch), position)
        return position

    def _require_ours(self, other: Timeline, position: Position) -> None:
        here = self.timeline
        if other == here:
            return
        if other.system != here.system:
            raise ForeignTokenError(
                f"the token is of another database cluster, {other.system}: this daemon follows "
                f"{here.system}. Ask the daemon that follows the database of the commit"
            )
        if other.number > here.number:
            raise ForeignTokenError(
                f"the token is of timeline {other.number}, and the daemon is in {here.number}: a "
                "failover that it has yet to follow (ask again), or its source.dsn still leads to "
                "the old primary"
            )
        left = self.left.get(other.number)
        if left is None or position > left:
            raise ForeignTokenError(self._lost(position, other.number, left))

    def _lost(self, position: Position, number: int, left: Position | None) -> str:
        here, at = self.timeline.number, format_lsn(position)
        if self.is_exact:
            where = "not a part of it" if left is None else f"left at {format_lsn(left)}"
            return (
                f"the commit was lost in a failover: it is at {at} of timeline {number}, which was "
                f"{where} when the server's timeline {here} began. Read the source to see what is "
                "there"
            )
        known = "nobody has said how far" if left is None else f"up to {format_lsn(left)} at least"
        return (
            f"the commit may have been lost in a failover: it is at {at} of timeline {number}, "
            f"which the server's timeline {here} shares ({known}). Read the source to see what is "
            f"there. If it is, searches show it once {self.timeline}:{at} is reached"
        )


@dataclass(frozen=True, slots=True)
class PostgresVersions:
    """A `TokenReader` of the versions that transactions read before they commit.

    The rows are locked then, so every earlier commit of them lies below, and the own above.
    """

    tokens: PostgresTokens

    @property
    def epoch(self) -> str:
        """As of the tokens."""
        return self.tokens.epoch

    def read(self, token: str) -> Position:
        """Where the last record ended: the row's own, or a later one."""
        position = self.tokens.read(token)
        if ":" not in token:
            raise TokenError(_BARE)
        return position
