"""Kafka as a `Relay`: changes as Debezium's messages, and the ordered log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon import __version__
from cdc_daemon.errors import SinkError, TakenOverError
from cdc_daemon.events import PartlyUnreadable
from connectors.kafka.relay.checkpoints import LastMessages, Stored, message_of, stored_of
from connectors.kafka.relay.columns import Modes
from connectors.kafka.relay.config import KafkaRelayConfig
from connectors.kafka.relay.doctor import examine, require_usable
from connectors.kafka.relay.envelope import Envelopes, Marks, Message
from connectors.kafka.relay.producing import Transactions
from connectors.kafka.relay.tables import Shape
from connectors.kafka.relay.topics import RelayTopics
from connectors.kafka.topics import Topics
from connectors.relay.log import LogEncoder, LogHead, carried_on, protected_columns, read_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cdc_daemon.events import Begin, Change, Checkpoint, Commit, Position, Relation, Row
    from cdc_daemon.ports import CheckpointStore, Finding

log = structlog.get_logger(__name__)

IDLE_SECONDS: Final = 10.0
"""How often an idle source's position is written: until then it keeps its log for us."""
LOG_IDLE_SECONDS: Final = 0.2
"""The same where there is a log: its readers tell by it how far they are."""


class KafkaRelay:
    """Publishes the changes of one pipeline. One thread owns it."""

    config_model = KafkaRelayConfig

    def __init__(self, config: KafkaRelayConfig, *, pipeline: str) -> None:
        self._config = config
        self._pipeline = pipeline
        self._client_id = f"cdc-daemon-{pipeline}"
        self._transactions = Transactions(config, self._client_id)
        self._topics = Topics(config, self._client_id, SinkError)
        self._names = RelayTopics(config, pipeline)
        self._ends = LastMessages(config, self._client_id, self._topics)
        self._ids: dict[str, str] = {}
        self._envelopes: Envelopes | None = None
        self._log: LogEncoder | None = None
        self._begun: list[Message] | None = None
        """What a transaction begins with, until its first change comes."""
        self._heartbeat_at = 0.0
        self.idle_seconds = IDLE_SECONDS if config.log is None else LOG_IDLE_SECONDS

    @property
    def checkpoints(self) -> CheckpointStore:
        """In a topic of its own."""
        return self

    def load(self, pipeline: str) -> Checkpoint | None:
        """The last one that was committed."""
        value = self._ends.last(self._names.checkpoint, pipeline.encode())
        if value is None:
            return None
        stored = stored_of(value, self._names.checkpoint)
        self._ids = dict(stored.topics)
        return stored.checkpoint

    def store(self, checkpoint: Checkpoint) -> None:
        """In a transaction of its own."""
        self.settle(checkpoint, lambda: None)

    def preflight(self, relations: Sequence[Relation]) -> None:
        """Topics that are there must fit."""
        require_usable(self._topics, list(self._names.wanted(relations)))

    def examine(self, subjects: Sequence[Relation]) -> Iterator[Finding]:
        """Look at the cluster, its topics, and our rights."""
        return examine(self._config, self._topics, list(self._names.wanted(subjects)), subjects)

    def open(self) -> None:
        """Fence whoever writes as this pipeline."""
        self._envelopes = self._log = None
        self._transactions.open()

    def begin_from(
        self,
        relations: Sequence[Relation],
        checkpoint: Checkpoint,
        database: str,
        *,
        goes_on: bool,
    ) -> dict[str, str]:
        """Make the topics that are lacking."""
        before = self._ids if goes_on else {}
        wanted = list(self._names.wanted(relations))
        self._ids = self._names.make(wanted, self._topics)
        config = self._config
        self._envelopes = Envelopes(
            Shape(self._names.prefix, Modes(config.decimals, config.intervals), config.schemas),
            Marks(__version__, database),
            with_transactions=config.transactions,
            with_tombstones=config.tombstones,
        )
        self._begin_log(relations, checkpoint, before)
        return {
            topic.name: topic.table
            for topic in wanted
            if before.get(topic.name, self._ids[topic.name]) != self._ids[topic.name]
        }

    def _begin_log(
        self, relations: Sequence[Relation], checkpoint: Checkpoint, before: Mapping[str, str]
    ) -> None:
        """Readers hear at once of the tables that are relayed from now on.

        The log goes on where the checkpoint that was found names the very topic as `before`.
        """
        name, at = self._names.log, checkpoint.position
        if name is None:
            return
        last = self._ends.last(name)
        head, place = (None, None) if last is None else read_place(last)
        goes_on = name in before and before[name] == self._ids[name]
        after = place.position if place is not None and goes_on else at
        new_head = LogHead(
            checkpoint.source_id,
            carried_on(head if goes_on else None, checkpoint.memberships, after),
            {
                each.qualified_name: found
                for each in relations
                if (found := protected_columns(each))
            },
        )
        self._log = LogEncoder(new_head, after)
        if head != new_head:
            self._write_log([self._log.watermark(at)])

    def begin(self, begin: Begin) -> None:
        """Nothing is written of a transaction without changes of ours."""
        self._begun = self._encoder().begin(begin)

    def change(self, change: Change) -> None:
        """Its messages, and its part of the log."""
        if self._begun is not None:
            self._write(self._begun)
            self._begun = None
        if change.relation.stands_for is None:
            self._write(self._encoder().change(change, time.time_ns() // 1000))
        if self._log is not None:
            self._write_log(self._log.change(change))

    def commit(self, commit: Commit) -> None:
        """The end of the transaction, where it has begun."""
        if self._begun is not None:
            self._begun = None
            self._encoder().skip(commit)
            return
        self._write(self._encoder().commit(commit))
        if self._log is not None:
            self._write_log([self._log.commit(commit)])

    def existing(self, relation: Relation, rows: Sequence[Row], position: Position) -> None:
        """Messages of reads; readers of the log read rows themselves."""
        encoder, micros = self._encoder(), time.time_ns() // 1000
        careful = isinstance(rows, PartlyUnreadable)
        for row in rows:
            message = encoder.existing(relation, row, position, micros, careful=careful)
            self._transactions.write(message)

    def passed(self, position: Position) -> None:
        """Only readers of the log are told."""
        if self._log is not None:
            self._write_log([self._log.watermark(position)])

    def settle(self, checkpoint: Checkpoint, meanwhile: Callable[[], None]) -> None:
        """Everything is seen at once, with the checkpoint; with a sign of life where it is due."""
        self._write_heartbeat()
        self._transactions.write(message_of(Stored(checkpoint, self._ids), self._names.checkpoint))
        self._transactions.end(meanwhile)

    @property
    def is_due(self) -> bool:
        """Whether a sign of life is."""
        every = self._config.heartbeat
        return every is not None and time.monotonic() - self._heartbeat_at >= every

    @property
    def held(self) -> int:
        """Bytes of the Kafka transaction that is open."""
        return self._transactions.held

    def wait_by(self, meanwhile: Callable[[], None]) -> None:
        """While the client's buffer is full."""
        self._transactions.meanwhile = meanwhile

    def close(self) -> None:
        """Close the connections."""
        self._transactions.close()
        self._topics.close()

    def _encoder(self) -> Envelopes:
        if self._envelopes is None:
            raise TakenOverError("the relay was opened again")
        return self._envelopes

    def _write(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._transactions.write(message)

    def _write_log(self, values: Sequence[bytes]) -> None:
        assert self._names.log is not None  # noqa: S101 - it is why there are such values
        for value in values:
            self._transactions.write(Message(self._names.log, None, value))

    def _write_heartbeat(self) -> None:
        if self.is_due:
            self._heartbeat_at = time.monotonic()
            self._write([self._encoder().heartbeat(time.time_ns() // 1000)])
