"""Offsets of a stream as positions, and back. Pure.

Between two offsets is room, as between two records of a log: a truncate writes just below its own
position.
"""

from __future__ import annotations

from typing import Final

from cdc_daemon.events import Position
from connectors.messages.numbering import STEP

BEGINNING: Final = Position(1)
"""Before every message. It isn't `NOWHERE`, where nothing would have begun."""


def position_of(offset: int) -> Position:
    """Once it is reached, the message with that offset has come."""
    return Position((offset + 1) * STEP)


def position_before(offset: int) -> Position:
    """The message with that offset is what comes next."""
    return Position(offset * STEP)


def offset_at(position: Position) -> int:
    """Of the last message that has come at that position; -1 where none has."""
    return position // STEP - 1
