"""From where on a state knows which documents were touched, and are still to be written. Pure.

A state that was loaded beside others' work shows every row, but not what was touched before. So a
replica takes documents over only once all that it doesn't know of is known to be in the sink.
"""

from __future__ import annotations

from typing import NamedTuple

from cdc_daemon.events import NOWHERE, Position


class Known(NamedTuple):
    """Of one joined read model."""

    uuid: str
    """Of its index: what was written to another one is not in this one."""
    since: Position
    """Every document that was touched later, and isn't known to be in the index, is pending."""

    def to_bytes(self) -> bytes:
        """As the state keeps it."""
        return b"%d %b" % (self.since, self.uuid.encode())

    @classmethod
    def from_bytes(cls, kept: bytes) -> Known:
        """The same back."""
        since, _, uuid = kept.partition(b" ")
        return cls(uuid.decode(), Position(int(since)))


def known_of(stored: Known | None, uuid: str, position: Position, *, alone: bool) -> Known:
    """What a state that is at `position` knows of the index.

    `alone`: the state is that of a daemon that wrote every document by itself, until now.
    """
    if alone:
        return Known(uuid, NOWHERE)
    if stored is None or stored.uuid != uuid:
        return Known(uuid, position)
    return stored
