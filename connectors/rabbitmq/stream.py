"""A stream that is consumed: offsets are positions, so it can be read again from any of them.

Nothing is kept for us on the server: a stream keeps messages for as long as its retention says,
whoever has read them, and the checkpoint says how far we are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RetryError, StartAgainError
from connectors.messages.history import EVERYTHING, history
from connectors.rabbitmq.deliveries import Arrived
from connectors.rabbitmq.offsets import BEGINNING, offset_at, position_before, position_of
from connectors.rabbitmq.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.events import Position
    from connectors.rabbitmq.config import RabbitConfig
    from connectors.rabbitmq.deliveries import Delivery

ANSWER_SECONDS: Final = 5.0
"""A message that a stream has comes within milliseconds, from a server that is busy in a second."""
QUIET_SECONDS: Final = 0.5
"""Where nothing has come for so long, all that there was has come."""


class Stream:
    """One of one pipeline. One thread owns it, but for `wake`."""

    def __init__(self, config: RabbitConfig, name: str, stream: str) -> None:
        self._config = config
        self._stream = stream
        self._name = name
        self._session: Session | None = None
        self._last = -1
        """The offset of the last message that has come."""
        self._end = -1
        """The offset that its last block began with, when it was looked last."""
        self._shared = EVERYTHING
        self.identity = history(f"rabbitmq stream {config.virtual_host} {stream}")

    @property
    def last(self) -> Position:
        """Of the last message that has come."""
        return position_of(self._last)

    @property
    def waiting(self) -> Mapping[str, int]:
        """About how many messages it has that haven't come."""
        return {self._stream: max(0, self._end - self._last)}

    def require(self) -> None:
        """Raise SourceError where it isn't there, or may not be looked at."""
        with Session(self._config, self._name) as session:
            session.state(self._stream)

    def held_by(self) -> str | None:
        """Nobody: any number of consumers read it."""
        return None

    def place(self) -> Position:
        """Before the first message that it still has."""
        with Session(self._config, self._name) as session:
            first = session.peek(self._stream, "first", QUIET_SECONDS)
        return position_before(0 if first is None else first)

    def create_place(self) -> Position:
        """Before all that it has, or after it, as `start` says."""
        self._shared = EVERYTHING
        if self._config.start == "earliest":
            return max(BEGINNING, self.place())
        with Session(self._config, self._name) as session:
            session.consume(self._stream, self._config.prefetch, "last")
            offset = -1
            while delivered := session.wait(QUIET_SECONDS):
                offset = delivered[-1].offset
        return max(BEGINNING, position_of(offset))

    def shared(self) -> Position:
        """All of it, unless it was found not to go so far."""
        return self._shared

    def begin(self, after: Position) -> None:
        """Consume from just after a position.

        Raises StartAgainError where it doesn't have what comes next any more, or not yet.
        """
        self.end()
        self._last = offset_at(after)
        self._session = Session(self._config, self._name)
        try:
            self._session.consume(self._stream, self._config.prefetch, max(self._last, 0))
            if self._last >= 0:
                self._require_reached(self._session)
        except BaseException:
            self.end()
            raise

    def take(self, timeout_seconds: float) -> list[Arrived]:
        """What has come. Answers heartbeats."""
        if self._session is None:
            raise RetryError("the stream has not been started", reason="disconnected")
        arrived: list[Arrived] = []
        for delivery in self._session.wait(timeout_seconds):
            offset = delivery.offset
            if offset > self._last:  # the last one of before comes once more
                self._require_next(offset)
                self._last = offset
                arrived.append(Arrived(position_of(offset), delivery))
        return arrived

    def passed_on(self, delivery: Delivery) -> None:
        """Have more sent: that is all that acknowledging means to a stream."""
        if self._session is not None:
            self._session.acknowledge(delivery.tag)

    def confirm(self, durable: Position) -> None:
        """The checkpoint says it; the stream needn't know."""

    def end_of(self, session: Session) -> Position:
        """Where its last block begins. Any thread asks, with a session of its own."""
        offset = session.peek(self._stream, "last", QUIET_SECONDS)
        self._end = -1 if offset is None else offset
        return position_of(self._end)

    def wake(self) -> None:
        """Make `take` return. Any thread calls it."""
        session = self._session
        if session is not None:
            session.wake()

    def end(self) -> None:
        """Consume no more. Safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _require_reached(self, session: Session) -> None:
        """The last message of before must be there: a stream that was made anew may be shorter."""
        if session.waits_for_first(ANSWER_SECONDS):
            return
        end = session.peek(self._stream, "last", ANSWER_SECONDS)
        if session.waits_for_first(QUIET_SECONDS):  # the server was busy, or away
            return
        self._shared = max(BEGINNING, position_of(-1 if end is None else end))
        raise StartAgainError(
            f"stream {self._stream} has no message with offset {self._last}, which was read "
            "before: it was deleted and made anew, or restored from an older copy"
        )

    def _require_next(self, offset: int) -> None:
        """Offsets have gaps, where the server keeps something for itself; or messages are gone."""
        if offset == self._last + 1:
            return
        with Session(self._config, self._name) as session:
            first = session.peek(self._stream, "first", ANSWER_SECONDS)
        if first is None or first >= offset:
            raise StartAgainError(
                f"stream {self._stream} begins at offset {offset if first is None else first}, and "
                f"was read up to {self._last}: retention has taken what lay between"
            )
