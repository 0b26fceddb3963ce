"""A relay as small as it can be: it follows a database, and writes the ordered log."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, Producer

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.events import NOWHERE, Change, Commit, Watermark
from cdc_daemon.ports import TableRequest
from connectors.kafka.session import KafkaSection
from connectors.kafka.topics import Topics
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from connectors.relay.log import LogEncoder, LogHead, carried_on, protected_columns
from connectors.relay.topic import LogTopic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cdc_daemon.events import Event

READY_SECONDS = 60.0
READ_SECONDS = 0.1


def make_log(bootstrap_servers: str, name: str, settings: Mapping[str, str] | None = None) -> None:
    """An empty topic of one partition."""
    topics = Topics(KafkaSection(bootstrap_servers=bootstrap_servers), "test", SourceError)
    topics.create(name, partitions=1, settings={"max.message.bytes": "2097152", **(settings or {})})
    topics.close()


class LogWriter:
    """Writes the log of some tables, in a thread, until it is stopped."""

    def __init__(
        self,
        dsn: str,
        bootstrap_servers: str,
        log: str,
        tables: Iterable[str],
        **settings: Any,
    ) -> None:
        """`settings` are of the source, and `part_bytes` of the encoder."""
        self._part_bytes = settings.pop("part_bytes", 900_000)
        self._section = KafkaSection(bootstrap_servers=bootstrap_servers)
        self._log = log
        self._tables = list(tables)
        config = {
            "type": "postgres",
            "dsn": dsn,
            "slot": log,
            "publication": {"name": log},
            **settings,
        }
        self._source = PostgresSource(PostgresConfig.model_validate(config), pipeline=log)
        self._stopping = threading.Event()
        self.ready = threading.Event()
        self.error: BaseException | None = None
        self.reached = NOWHERE
        """Where the log is."""
        self._is_open = False
        self._thread = threading.Thread(target=self._run)

    def start(self) -> LogWriter:
        """Write, and return once something is in the log."""
        self._thread.start()
        assert self.ready.wait(READY_SECONDS), self.error
        return self

    def stop(self) -> None:
        """In order."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with closing(self._source):
                while not self._stopping.is_set():
                    self._follow()
        except BaseException as error:
            self.error = error
            raise

    def _follow(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._section.bootstrap_servers,
                "transactional.id": self._log,
                "message.max.bytes": 2_000_000,
                "linger.ms": 5,
                "compression.type": "lz4",
            }
        )
        self._is_open = False
        try:
            producer.init_transactions(READY_SECONDS)
            encoder = self._begin(producer)
            self.ready.set()
            while not self._stopping.is_set():
                events = self._source.read(READ_SECONDS)
                if events:
                    self._relay(producer, encoder, events)
        except (RetryError, KafkaException):
            time.sleep(READ_SECONDS)

    def _begin(self, producer: Producer) -> LogEncoder:
        with closing(LogTopic(self._section, self._log, "test")) as topic:
            last = topic.last()
        source = self._source
        relations = source.describe([TableRequest(table) for table in self._tables])
        members = source.prepare(relations)
        place = source.place()
        if last is None or place is None:
            after, head = source.create_place(), None
        else:
            after, head = last.place.position, last.head
        source.start(relations, after, whole=True)
        protected = {each.qualified_name: protected_columns(each) for each in relations}
        said = LogHead(source.identity(), carried_on(head, members, after), protected)
        encoder = LogEncoder(said, after, self._part_bytes)
        self._write(producer, [encoder.watermark(after)])
        producer.commit_transaction(READY_SECONDS)
        self._is_open = False
        return encoder

    def _relay(self, producer: Producer, encoder: LogEncoder, events: Sequence[Event]) -> None:
        """The last transaction may go on in the next call: what hasn't ended isn't committed."""
        ends = [at for at, event in enumerate(events) if not isinstance(event, Change)]
        whole = ends[-1] + 1 if ends else 0
        for event in events[:whole]:
            self._write(producer, self._encoded(encoder, event))
        if self._is_open and whole:
            producer.commit_transaction(READY_SECONDS)
            self._is_open = False
        if whole:
            at = self.reached = encoder.after
            self._source.confirm(received=at, durable=at, searchable=at)
        for event in events[whole:]:
            self._write(producer, self._encoded(encoder, event))

    def _encoded(self, encoder: LogEncoder, event: Event) -> list[bytes]:
        if isinstance(event, Change):
            return encoder.change(event)
        if isinstance(event, Commit):
            return [encoder.commit(event)]
        if isinstance(event, Watermark) and event.position > encoder.after:
            return [encoder.watermark(event.position)]
        return []

    def _write(self, producer: Producer, messages: Sequence[bytes]) -> None:
        if messages and not self._is_open:
            producer.begin_transaction()
            self._is_open = True
        for message in messages:
            producer.produce(self._log, message, partition=0)
            producer.poll(0)
