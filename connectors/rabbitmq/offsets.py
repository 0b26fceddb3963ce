"""Offsets of a stream as positions, and back. Pure.

Below the offset a position has a digest of the message: a stream that was deleted and made anew has
the same offsets, and other messages. Below that is room, as between two records of a log: a
truncate writes just below its own position.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from cdc_daemon.events import Position

if TYPE_CHECKING:
    from connectors.rabbitmq.deliveries import Delivery

ROOM_BITS: Final = 3
DIGEST_BITS: Final = 16
"""One of 65,535 streams is taken for the one that it isn't; and offsets up to 2^43 remain."""
OFFSET_BITS: Final = DIGEST_BITS + ROOM_BITS
"""Where the offset begins."""
_UNKNOWN: Final = 0
"""The digest of a message that nobody has looked at: below that of any."""
_DIGESTS: Final = (1 << DIGEST_BITS) - 1
BEGINNING: Final = Position(1)
"""Before every message. It isn't `NOWHERE`, where nothing would have begun."""


def position_of(delivery: Delivery) -> Position:
    """Once it is reached, this message has come."""
    return Position(position_at(delivery.offset) + (_digest(delivery) << ROOM_BITS))


def position_at(offset: int) -> Position:
    """The same of a message that isn't known: no more than its own, and after all before it."""
    return Position((offset + 1) << OFFSET_BITS)


def position_before(offset: int) -> Position:
    """The message with that offset is what comes next."""
    return Position(offset << OFFSET_BITS)


def offset_at(position: Position) -> int:
    """Of the last message that has come at that position; -1 where none has."""
    return (position >> OFFSET_BITS) - 1


def is_other(delivery: Delivery, position: Position) -> bool:
    """Whether another message had its offset when the stream had come to that position."""
    digest = (position >> ROOM_BITS) & _DIGESTS
    same_offset = delivery.offset == offset_at(position)
    return same_offset and digest not in {_UNKNOWN, _digest(delivery)}


def _digest(delivery: Delivery) -> int:
    return 1 + zlib.crc32(delivery.body) % _DIGESTS
