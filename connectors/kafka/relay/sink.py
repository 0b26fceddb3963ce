"""Kafka as a `Relay`: changes as Debezium's messages, and the ordered log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon import __version__
from cdc_daemon.errors import SinkError, TakenOverError
from cdc_daemon.events import PartlyUnreadable
from cdc_daemon.ports import Loss
from connectors.kafka.relay.checkpoints import LastMessages, message_of, stored_of
from connectors.kafka.relay.columns import Modes
from connectors.kafka.relay.config import KafkaRelayConfig
from connectors.kafka.relay.doctor import examine, require_usable
from connectors.kafka.relay.envelope import Envelopes, Marks, Message
from connectors.kafka.relay.observing import GroupsObserver
from connectors.kafka.relay.producing import Transactions
from connectors.kafka.relay.seeing import wait_until_seen
from connectors.kafka.relay.tables import Shape
from connectors.kafka.relay.tails import Tails
from connectors.kafka.relay.topics import RelayTopics
from connectors.kafka.topics import Topics
from connectors.relay.log import LogEncoder, LogHead, carried_on, protected_columns, read_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cdc_daemon.events import Begin, Change, Checkpoint, Commit, Position, Relation, Row
    from cdc_daemon.ports import CheckpointStore, Finding
    from connectors.kafka.relay.checkpoints import Stored

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
        self._last = LastMessages(config, self._client_id, self._topics)
        self._tails = Tails(self._names, self._topics)
        self._found: Stored | None = None
        """What was loaded."""
        self._envelopes: Envelopes | None = None
        self._log: LogEncoder | None = None
        self._head: LogHead | None = None
        """Of the log as it was begun last."""
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
        value = self._last.last(self._names.checkpoint, pipeline.encode())
        self._found = None if value is None else stored_of(value, self._names.checkpoint)
        return None if self._found is None else self._found.checkpoint

    def store(self, checkpoint: Checkpoint) -> None:
        """In a transaction of its own."""
        self.settle(checkpoint, lambda: None, seen=False)

    def preflight(self, relations: Sequence[Relation]) -> None:
        """Topics that are there must fit."""
        require_usable(self._topics, list(self._names.wanted(relations)))

    def examine(self, subjects: Sequence[Relation]) -> Iterator[Finding]:
        """Look at the cluster, its topics, and our rights."""
        return examine(self._config, self._topics, self._names, subjects)

    def observer(self, pipelines: Sequence[str]) -> GroupsObserver:
        """By what their leaders keep in the same cluster, of the log as it was begun, if it was."""
        return GroupsObserver(self._config, self._client_id, pipelines, self._head)

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
    ) -> list[Loss]:
        """Make the topics that are lacking; those that were there must have what was written."""
        before = self._found if goes_on else None
        wanted = list(self._names.wanted(relations))
        lost = self._tails.begin(wanted, before)
        config = self._config
        self._envelopes = Envelopes(
            Shape(self._names.prefix, Modes(config.decimals, config.intervals), config.schemas),
            Marks(__version__, database),
            with_transactions=config.transactions,
            with_tombstones=config.tombstones,
            with_truncates=config.truncates,
        )
        had = set() if before is None else before.topics.keys() - lost.keys()
        self._begin_log(relations, checkpoint, goes_on=self._names.log in had)
        return [
            Loss(topic.name, topic.table, lost[topic.name])
            for topic in wanted
            if topic.name in lost
        ]

    def _begin_log(
        self, relations: Sequence[Relation], checkpoint: Checkpoint, *, goes_on: bool
    ) -> None:
        """Readers hear at once of the tables that are relayed from now on.

        `goes_on`: the log has all that it had when the checkpoint was stored.
        """
        name, at = self._names.log, checkpoint.position
        if name is None:
            return
        last = self._last.last(name)
        head, place = (None, None) if last is None else read_place(last)
        after = place.position if place is not None and goes_on else at
        if after > at:
            raise SinkError(_behind(self._names))
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
        self._head = new_head
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

    def settle(self, checkpoint: Checkpoint, meanwhile: Callable[[], None], *, seen: bool) -> None:
        """Everything is seen at once, with the checkpoint; with a sign of life where it is due."""
        self._write_heartbeat()
        written = self._transactions.written
        stored = self._tails.stored(checkpoint, written)
        self._transactions.write(message_of(stored, self._names.checkpoint))
        self._transactions.end(meanwhile)
        if seen:
            wait_until_seen(self._topics, self._tails.places(written), meanwhile)
        self._tails.ended(written)

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


def _behind(names: RelayTopics) -> str:
    return (
        f"the log in topic {names.log} goes further than the checkpoint in {names.checkpoint}, and "
        "both are written at once: the brokers have lost the last messages of the checkpoint. What "
        "was written since would be written twice. Delete the topic (kafka-topics --delete --topic "
        f"{names.checkpoint}) and start again: all rows are relayed anew, and readers of the log "
        "load anew"
    )
