"""Queues that are consumed: in order, one consumer, acknowledged once durable.

A message that isn't acknowledged goes back to the front of its queue when the connection ends, in
the old order. So all that comes again is the end of what came before, for as long as nobody else
consumes: that is what the order of versions hangs on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import RetryError, SlotInUseError
from cdc_daemon.events import NOWHERE
from connectors.messages.history import EVERYTHING, history
from connectors.messages.journal import Journal
from connectors.rabbitmq.arrivals import Arrivals
from connectors.rabbitmq.deliveries import Arrived
from connectors.rabbitmq.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.events import Position
    from connectors.rabbitmq.config import RabbitConfig
    from connectors.rabbitmq.deliveries import Delivery

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 0.5
"""How often it is looked whether another consumer has gone."""


class Queues:
    """Those of one pipeline. One thread owns it, but for `last`, `end_of` and `wake`."""

    def __init__(self, config: RabbitConfig, name: str, pipeline: str) -> None:
        self._config = config
        self._name = name
        self._session: Session | None = None
        self._unacknowledged = Journal[int]()
        """The tag of each message that came on this connection."""
        self._arrivals = Arrivals()
        self.waiting: Mapping[str, int] = {}
        """How many messages wait in each that we haven't been sent, when it was looked last."""
        self.identity = history(f"rabbitmq {pipeline}")

    @property
    def last(self) -> Position:
        """The newest position that was given."""
        return self._arrivals.last

    def require(self) -> None:
        """Raise SourceError where a queue isn't there, or may not be looked at."""
        self._with_states()

    def held_by(self) -> str | None:
        """Who consumes them in our place."""
        for queue, consumers in self._with_states().items():
            if consumers:
                return f"{consumers} consumer(s) of queue {queue}"
        return None

    def place(self) -> Position:
        """Before everything: what isn't durable is in the queues."""
        return NOWHERE

    def create_place(self) -> Position:
        """From now on; what is in the queues comes after it."""
        return self._arrivals.place()

    def shared(self) -> Position:
        """All: nobody else gives such positions."""
        return EVERYTHING

    def begin(self, after: Position) -> None:
        """Consume, alone. Raises SlotInUseError where somebody else goes on consuming."""
        self.end()
        self._arrivals.go_beyond(after)
        session = Session(self._config, self._name)
        try:
            self._wait_until_free(session)
            for queue in self._config.queues:
                session.consume(queue, self._config.prefetch)
            self._require_alone(session)
        except BaseException:
            session.close()
            raise
        self._session = session

    def take(self, timeout_seconds: float) -> list[Arrived]:
        """What has come, numbered. Answers heartbeats."""
        if self._session is None:
            raise RetryError("the stream has not been started", reason="disconnected")
        arrived = [
            Arrived(self._arrivals.number(), delivery)
            for delivery in self._session.wait(timeout_seconds)
        ]
        for one in arrived:
            self._unacknowledged.add(one.position, one.delivery.tag)
        return arrived

    def passed_on(self, delivery: Delivery) -> None:
        """It is acknowledged once it is durable."""

    def confirm(self, durable: Position) -> None:
        """Acknowledge what is durable."""
        tags = [tag for _, tag in self._unacknowledged.durable(durable)]
        if tags and self._session is not None:
            self._session.acknowledge(tags[-1])

    def end_of(self, session: Session) -> Position:
        """Where the last message is that waits. Any thread asks, with a session of its own."""
        self.waiting = {queue: session.state(queue).ready for queue in self._config.queues}
        return self._arrivals.expect(sum(self.waiting.values()))

    def wake(self) -> None:
        """Make `take` return. Any thread calls it."""
        session = self._session
        if session is not None:
            session.wake()

    def end(self) -> None:
        """Consume no more. Safe to call twice."""
        self._unacknowledged.forget()
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _with_states(self) -> dict[str, int]:
        """The number of consumers of each."""
        with Session(self._config, self._name) as session:
            return {queue: session.state(queue).consumers for queue in self._config.queues}

    def _wait_until_free(self, session: Session) -> None:
        """The server may not know yet that a consumer of before has gone, and it has messages."""
        busy = self._consumed(session, most=0)
        if busy is not None:
            log.warning("waiting_for_consumer", queue=busy)
        deadline = time.monotonic() + self._config.consumer_wait
        while busy is not None:
            if time.monotonic() > deadline:
                raise SlotInUseError(_in_use(busy))
            time.sleep(_LOOK_SECONDS)
            busy = self._consumed(session, most=0)

    def _require_alone(self, session: Session) -> None:
        """Two that have begun at the same time: neither has acknowledged anything, so both end."""
        busy = self._consumed(session, most=1)
        if busy is not None:
            raise RetryError(_in_use(busy), reason="slot_in_use")

    def _consumed(self, session: Session, most: int) -> str | None:
        """The first queue that more than `most` consume."""
        for queue in self._config.queues:
            if session.state(queue).consumers > most:
                return queue
        return None


def _in_use(queue: str) -> str:
    return (
        f"queue {queue} is consumed by somebody else: another daemon, or a consumer that the "
        "server hasn't missed yet. Messages that it has would come later than newer ones. Stop it, "
        "or give this pipeline a queue of its own"
    )
