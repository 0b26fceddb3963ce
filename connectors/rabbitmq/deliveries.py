"""Messages as a server has sent them, and as they are numbered. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.events import Position


OFFSET: Final = "x-stream-offset"
MILLISECONDS: Final = 1000


class Delivery(NamedTuple):
    """One message."""

    tag: int
    """By which it is acknowledged: the order in which messages came to this session."""
    queue: str
    """Of which queue or stream it is."""
    routing_key: str
    body: bytes
    headers: Mapping[str, Any]
    redelivered: bool
    """Whether it was sent before, to somebody who hasn't acknowledged it."""
    arrived_at: float
    """In seconds since the epoch, by our clock."""

    @property
    def offset(self) -> int:
        """Its place in a stream."""
        return int(self.headers[OFFSET])

    @property
    def where(self) -> str:
        """For people."""
        if OFFSET in self.headers:
            return f"stream {self.queue}, offset {self.offset}"
        return f"queue {self.queue}, routing key {self.routing_key or 'none'}"

    @property
    def published_at(self) -> float | None:
        """Where the server notes when it has taken a message, in milliseconds.

        AMQP's own timestamp has seconds, by the clock of whoever has published.
        """
        noted = self.headers.get("timestamp_in_ms")
        return noted / MILLISECONDS if isinstance(noted, int) else None

    @property
    def returns(self) -> int:
        """How often it has gone back to its queue, as far as the server counts that."""
        return int(self.headers.get("x-delivery-count") or 0)


class Arrived(NamedTuple):
    """A message, and the position that it was given."""

    position: Position
    delivery: Delivery
