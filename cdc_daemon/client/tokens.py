"""A token: the position of the source's log after a COMMIT, and the history it belongs to. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cdc_daemon.client.errors import TokenError

_EPOCH: Final = re.compile(r"([0-9]{1,20})/([0-9]{1,10})", re.ASCII)
"""The system's identifier and the timeline."""
_LSN: Final = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", re.ASCII)
_EXPECTED: Final = (
    "a token is SYSTEM/TIMELINE:LSN, such as 7412345678901234567/1:0/16B3748, or an LSN alone, "
    "such as 0/16B3748: take it after COMMIT, by commit(connection) or by TOKEN_SQL"
)
_LONGEST_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Token:
    """What a client holds to read its own writes."""

    epoch: str | None
    """`SYSTEM/TIMELINE`; None: whichever history the daemon follows."""
    lsn: int

    def __post_init__(self) -> None:
        """Refuse what no source could have given."""
        if self.epoch is not None and not _EPOCH.fullmatch(self.epoch):
            raise TokenError(f"not an epoch: {self.epoch[:_LONGEST_SHOWN]!r}; {_EXPECTED}")

    @classmethod
    def parse(cls, text: str) -> Token:
        """`EPOCH:LSN`, or a bare LSN. Raises TokenError."""
        epoch, colon, lsn = text.strip().rpartition(":")
        match = _LSN.fullmatch(lsn)
        if match is None:
            raise TokenError(f"not a token: {text[:_LONGEST_SHOWN]!r}; {_EXPECTED}")
        return cls(epoch if colon else None, (int(match[1], 16) << 32) + int(match[2], 16))

    def __str__(self) -> str:
        shown = f"{self.lsn >> 32:X}/{self.lsn & 0xFFFFFFFF:X}"
        return shown if self.epoch is None else f"{self.epoch}:{shown}"

    @property
    def system(self) -> str | None:
        """Which database cluster it is of; None for a bare LSN."""
        return None if self.epoch is None else self.epoch.partition("/")[0]

    @property
    def timeline(self) -> int:
        """How often its cluster had been failed over or restored; 0 for a bare LSN."""
        return 0 if self.epoch is None else int(self.epoch.partition("/")[2])

    def __or__(self, other: Token) -> Token:
        """The later of two: who waits for it waits for both. Raises TokenError.

        What was taken on a later timeline lies behind all that an earlier one has left to it.
        """
        if self.system != other.system:
            raise TokenError(
                f"{self} and {other} are of different histories: neither is later. Give both to "
                "wait(), or let a Session hold them"
            )
        return max(self, other, key=lambda token: (token.timeline, token.lsn))
