"""Queues or a stream of RabbitMQ as a `Source`."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import RetryError
from cdc_daemon.events import NOWHERE, Coverage, Watermark
from cdc_daemon.ports import CHUNK_BYTES, MessageReport, PartReport
from connectors.messages.falls import WHY
from connectors.messages.history import GivenTokens, shown
from connectors.messages.nothing import ConfiguredShapes, NoRows, SeenUntil
from connectors.messages.tables import configured_relations, described
from connectors.rabbitmq.clock import RabbitClock
from connectors.rabbitmq.config import RabbitConfig
from connectors.rabbitmq.doctor import examine
from connectors.rabbitmq.queues import Queues
from connectors.rabbitmq.routing import Routing
from connectors.rabbitmq.stream import Stream
from connectors.rabbitmq.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Event, Position, Relation
    from cdc_daemon.ports import Finding, TableRequest
    from connectors.rabbitmq.deliveries import Arrived, Delivery

log = structlog.get_logger(__name__)

READ_MESSAGES: Final = 2000
"""One read is at most so many: milliseconds of work."""
QUIET_SECONDS: Final = 0.5
"""Where nothing has come for so long after a start, nothing more comes again."""


class RabbitSource:
    """Of one pipeline. One thread owns it, but for `wake`."""

    config_model = RabbitConfig
    rows_are = "those that are published"

    def __init__(self, config: RabbitConfig, *, pipeline: str) -> None:
        self._config = config
        self._pipeline = pipeline
        self._name = f"cdc-daemon {pipeline}"
        self._feed: Queues | Stream = (
            Queues(config, self._name, pipeline)
            if config.stream is None
            else Stream(config, self._name, config.stream)
        )
        self._tables = {
            name: replace(relation, has_rows=False)
            for name, relation in configured_relations(config.message_tables).items()
        }
        self._waiting: deque[Arrived] = deque()
        """What has come, and wasn't read yet."""
        self._again: list[Delivery] = []
        """What has come that came before, and of which the log says nothing yet."""
        self._transactions: Transactions | None = None
        self._routing = Routing(config, [])
        self._told = NOWHERE
        """The newest position that the reader knows to have come to."""
        self._heard_at = 0.0
        self._messages = self._poison = self._fallen = 0
        self._fallen_before = 0
        """In the connections before."""
        self._read_of: dict[str, float] = {}
        """When the last message came that was read of each queue."""
        self._woken = threading.Event()

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """As the configuration has them."""
        return described(self._tables, tables)

    def identity(self) -> str:
        """That of the pipeline, whose positions are its own; or of the stream."""
        return self._feed.identity

    def shared_until(self, source_id: str) -> Position:
        """All of its own, but where a stream was found not to go so far."""
        return self._feed.shared() if source_id == self._feed.identity else NOWHERE

    def prepare(self, relations: Sequence[Relation]) -> dict[str, str]:
        """What is consumed must be there; it is others who make it."""
        self._end_stream()
        self._feed.require()
        return self.memberships(relations)

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """All of them come as messages."""
        return {relation.qualified_name: "published" for relation in relations}

    def keeps_place(self, relations: Sequence[Relation]) -> bool:  # noqa: ARG002 - the port
        """There is none that could be lost with them."""
        return True

    def examine(self, subjects: Sequence[Relation]) -> Iterator[Finding]:  # noqa: ARG002 - all tables come the same way
        """Look at queues and stream."""
        return examine(self._config, self._name)

    def held_by(self) -> str | None:
        """Other consumers of the queues: ours is ended."""
        self._end_stream()
        return self._feed.held_by()

    def place(self) -> Position | None:
        """Before all that a queue or a stream has."""
        return self._feed.place()

    def create_place(self) -> Position:
        """In front of what is to be read."""
        self._end_stream()
        return self._feed.create_place()

    def chunk_reader(self, chunk_bytes: int = CHUNK_BYTES) -> NoRows:  # noqa: ARG002 - the port
        """There are no rows but those that are published."""
        return NoRows(self._feed)

    def start(
        self,
        relations: Sequence[Relation],
        after: Position,
        *,
        whole: bool = False,  # noqa: ARG002 - all of them are
        silence_seconds: float | None = None,  # noqa: ARG002 - nobody listens
    ) -> None:
        """Consume."""
        self._end_stream()
        self._feed.begin(after)
        self._told = after
        self._heard_at = time.monotonic()
        self._routing = Routing(self._config, relations)
        self._fallen_before = self._fallen
        self._transactions = Transactions(self._routing, self._config.queues)

    def read(self, timeout_seconds: float) -> list[Event]:
        """What has come."""
        transactions = self._started()
        if not self._waiting:
            self._hear(self._patience_seconds(transactions, timeout_seconds))
        self._woken.clear()
        events = self._passed_on(transactions)
        if not self._waiting:
            events += self._caught_up(transactions)
        if self._again and not transactions.is_open:
            most = max(delivery.returns for delivery in self._again)
            log.warning("messages_came_again", messages=len(self._again), most_returns=most)
            self._again = []
        return events

    def confirm(self, *, received: Position, durable: Position, searchable: Position) -> None:  # noqa: ARG002 - the port
        """Acknowledge what is durable; the server must hear from us, though nothing be read."""
        self._started()
        self._feed.confirm(durable)
        self._hear(0.0)

    def message_report(self) -> MessageReport:
        """What has been read, and what waits. Any thread."""
        now, read_of = time.time(), dict(self._read_of)
        return MessageReport(
            messages=self._messages,
            poison=self._poison,
            fallen=self._fallen,
            parts=[
                PartReport(name, waiting, now - read_of.get(name, now) if waiting else 0.0)
                for name, waiting in self._feed.waiting.items()
            ],
        )

    def starting(self) -> AbstractContextManager[None]:
        """No commit waits for us."""
        return nullcontext()

    def let_commit_go(self, xid: int) -> None:
        """No commit waits for us."""

    def give_up_place(self) -> None:
        """There is none: who publishes decides what a queue or a stream keeps."""
        self._end_stream()

    def show(self, position: Position) -> str:
        """As clients read it."""
        return shown(position)

    def wake(self) -> None:
        """Make a read return."""
        self._woken.set()
        self._feed.wake()

    def clock(self) -> RabbitClock:
        """Sees what waits, for another thread."""
        return RabbitClock(self._config, self._name, self._feed.end_of)

    def token_reader(self) -> GivenTokens:
        """Reads positions as they are shown."""
        return GivenTokens(self._feed.identity, told_by="the positions that this daemon shows")

    def shape_reader(self) -> ConfiguredShapes:
        """As the configuration has them."""
        return ConfiguredShapes(self._tables)

    def coverage(self) -> Coverage:
        """All that has come until now."""
        last = self._feed.last
        return Coverage(str(last), last, last)

    def visibility(self, seen: str) -> SeenUntil:
        """What `coverage` says."""
        return SeenUntil(int(seen))

    def close(self) -> None:
        """Consume no more. Safe to call twice."""
        self._end_stream()

    def _started(self) -> Transactions:
        if self._transactions is None:
            raise RetryError("the stream has not been started", reason="disconnected")
        return self._transactions

    def _patience_seconds(self, transactions: Transactions, timeout_seconds: float) -> float:
        if self._woken.is_set():
            return 0.0
        return min(timeout_seconds, QUIET_SECONDS) if transactions.is_open else timeout_seconds

    def _passed_on(self, transactions: Transactions) -> list[Event]:
        """What some of the messages make of it that wait."""
        some = [self._waiting.popleft() for _ in range(min(READ_MESSAGES, len(self._waiting)))]
        events = [event for arrived in some for event in transactions.add(arrived)]
        if some:
            self._again += [one.delivery for one in some if one.delivery.redelivered]
            self._messages += len(some)
            self._poison += self._routing.take_poison()
            self._fallen = self._fallen_before + self._routing.fallen
            self._read_of |= {one.delivery.queue: one.delivery.arrived_at for one in some}
            self._told = some[-1].position
            self._feed.passed_on(some[-1].delivery)
        for key in self._routing.take_passed_over():
            log.warning("message_of_no_table", routing_key=key)
        for one in self._routing.take_fallen():
            log.warning("versions_fell", **one._asdict(), why=WHY)
        return events

    def _hear(self, timeout_seconds: float) -> None:
        arrived = self._feed.take(timeout_seconds)
        if arrived:
            self._heard_at = time.monotonic()
            self._waiting.extend(arrived)

    def _caught_up(self, transactions: Transactions) -> list[Event]:
        """The end of a transaction that has come whole; what was expected and doesn't come."""
        if transactions.is_open:
            quiet = time.monotonic() - self._heard_at >= QUIET_SECONDS
            return list(transactions.end()) if quiet else []
        last = self._feed.last
        if last <= self._told:
            return []
        self._told = last
        return [Watermark(last)]

    def _end_stream(self) -> None:
        self._transactions = None
        self._waiting.clear()
        self._again = []
        self._feed.end()
