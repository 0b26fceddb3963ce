"""Positions that a source gives by itself, as people and clients know them. Pure.

A position is the time of arrival in microseconds, or some more than the last one, and after a
restart beyond all that came before (`numbering`). It is written like an LSN, and a history like
PostgreSQL's, so that every client reads both.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from cdc_daemon.errors import ForeignTokenError, TokenError
from cdc_daemon.events import NOWHERE, Position

_TOKEN: Final = re.compile(
    r"(?:([0-9]{1,20}/[0-9]{1,10}):)?([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", re.ASCII
)
_DIGEST_BYTES: Final = 7
"""A number that signed integers of 64 bits hold."""
_LONGEST_SHOWN: Final = 80
EVERYTHING: Final = Position(1 << 62)
"""Beyond every position that is given: nothing of a history of its own can be lost."""


def history(of: str) -> str:
    """That of what has this name: there is one, for as long as it is called so."""
    digest = hashlib.sha256(f"cdc-daemon {of}".encode()).digest()
    return f"{int.from_bytes(digest[:_DIGEST_BYTES])}/1"


def shared_until(own: str, other: str) -> Position:
    """All of its own: nobody else gives such positions."""
    return EVERYTHING if other == own else NOWHERE


def shown(position: Position) -> str:
    """`646F2/A1B2C3D4`."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True)
class GivenTokens:
    """A `TokenReader` of positions that a source gives."""

    epoch: str
    told_by: str
    """Who has told a client such a token: `the answer to POST /api/v1/changes`."""

    def read(self, token: str) -> Position:
        """The position that was told."""
        found = _TOKEN.fullmatch(token.strip())
        if found is None:
            raise TokenError(
                f"not a token: {token[:_LONGEST_SHOWN]!r}. Expected one of {self.told_by}"
            )
        if found[1] not in {None, self.epoch}:
            raise ForeignTokenError(
                "the token is of another pipeline, or of a database: ask the daemon that has given "
                "it"
            )
        return Position((int(found[2], 16) << 32) + int(found[3], 16))
