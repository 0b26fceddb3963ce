"""Where in the log each change stands, and where transactions begin: for who relays them. Pure."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from cdc_daemon.events import Begin, Change
from connectors.postgres.pgoutput import POSTGRES_EPOCH_SECONDS

if TYPE_CHECKING:
    from cdc_daemon.events import Event

_BEGIN: Final = ord("B")
_BEGIN_BODY: Final = Struct(">BqqI").unpack_from


class LocatedData(bytes):
    """A message of pgoutput that knows where in the log it stands."""

    start: int

    @classmethod
    def at(cls, start: int, message: bytes) -> LocatedData:
        """The message that stands there."""
        data = cls(message)
        data.start = start
        return data


def located(
    message: bytes, event: Event | list[Event] | list[Change] | None
) -> Event | list[Event] | list[Change] | None:
    """The event that was decoded of a message, with its place; the begin of a transaction."""
    if not isinstance(message, LocatedData):
        return event
    if isinstance(event, Change):
        event.at = message.start
    elif isinstance(event, list):
        for one in event:
            if isinstance(one, Change):
                one.at = message.start
    elif message[0] == _BEGIN:
        _, _, microseconds, xid = _BEGIN_BODY(message)
        begin = Begin(message.start, microseconds / 1e6 + POSTGRES_EPOCH_SECONDS, xid)
        events: list[Event] = [begin] if event is None else [event, begin]
        return events
    return event
