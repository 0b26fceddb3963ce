"""The topic of an ordered log: what is at an offset, where it begins and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import stamina
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from cdc_daemon.errors import RetryError, SourceError
from connectors.kafka.session import Heard, client_settings, mapped, mapped_errors
from connectors.kafka.topics import ASK_SECONDS, Topics
from connectors.relay.log import read_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectors.kafka.session import KafkaSection
    from connectors.relay.log import LogHead, LogPlace

PARTITION: Final = 0
"""An ordered log has one."""
LOOK_MILLISECONDS: Final = 50
"""How long the broker waits for more where nothing is: a search asks some thirty times."""

ELECTION_SECONDS: Final = 10.0
"""A partition has no leader for so long where its broker has only just come back: no reason for a
start to give up, as it does where there is no broker at all."""


class Found(NamedTuple):
    """A message of the log."""

    offset: int
    head: LogHead
    place: LogPlace
    written: float
    """When, in seconds since the epoch, by the clock of the relay or of the broker."""


def reader_settings(section: KafkaSection, client_id: str, heard: Heard) -> dict[str, Any]:
    """Of consumers that read what was committed, from offsets that we know."""
    return {
        **client_settings(section, client_id, heard),
        "group.id": client_id,  # librdkafka asks for one; nothing is committed
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
    }


class LogTopic:
    """The log of one relay. One thread owns it, but for `identity`."""

    def __init__(self, section: KafkaSection, name: str, client_id: str) -> None:
        self.name = name
        self._section = section
        self._client_id = client_id
        self._heard = Heard()
        self._topics = Topics(section, client_id, SourceError)
        self._consumer: Consumer | None = None

    def identity(self) -> str:
        """Another one once the topic was deleted and made again. Raises SourceError without one."""
        topic = self._topics.describe([self.name]).get(self.name)
        if topic is None:
            raise SourceError(
                f"there is no topic {self.name}, which source.log names: start the relay first, "
                "with this name as its sink.log; or correct source.log"
            )
        if topic.partitions != 1:
            raise SourceError(
                f"topic {self.name} has {topic.partitions} partitions, and an ordered log has one: "
                "let source.log name the topic that the relay has as sink.log"
            )
        return topic.id

    def bounds(self) -> tuple[int, int]:
        """The first offset that is there, and the one after the last that is committed."""
        for attempt in stamina.retry_context(RetryError, attempts=None, timeout=ELECTION_SECONDS):
            with attempt:
                low, high = self._bounds()
        return low, high

    def _bounds(self) -> tuple[int, int]:
        at = TopicPartition(self.name, PARTITION)
        with mapped_errors("ask where the log begins and ends", SourceError, self._heard):
            low, high = self._connected().get_watermark_offsets(at, timeout=ASK_SECONDS)
        return int(low), int(high)

    def at(self, offset: int) -> Found | None:
        """The first message from that offset on; None where none is committed."""
        return next(self.from_offset(offset), None)

    def from_offset(self, offset: int, end: int | None = None) -> Iterator[Found]:
        """All messages from there on. To `end`, or one beyond: while somebody writes, the end as
        it is when one comes to it never comes.
        """  # noqa: D205 - one sentence
        consumer = self._connected()
        consumer.assign([TopicPartition(self.name, PARTITION, offset)])
        try:
            while (message := self._polled(consumer)) is not None:
                head, place = self._understood(message.offset(), message.value() or b"")
                yield Found(message.offset(), head, place, message.timestamp()[1] / 1000)
                if end is not None and message.offset() >= end - 1:
                    return
        finally:
            consumer.unassign()

    def first(self) -> Found | None:
        """None where the log is empty."""
        return self.at(self.bounds()[0])

    def last(self) -> Found | None:
        """None where the log is empty. What was aborted lies behind it, and isn't shown."""
        low, high = self.bounds()
        back = 2  # the last is the mark that ends a transaction
        while high > low:
            at = max(low, high - back)
            found = None
            for found in self.from_offset(at, high):  # noqa: B007 - the last one counts
                pass
            if found is not None or at == low:
                return found
            back *= 2
        return None

    def first_where(self, holds: Callable[[Found], bool], low: int, high: int) -> int:
        """From which offset on `holds` is true of all messages; it is false of those before."""
        while low < high:
            middle = (low + high) // 2
            found = self.at(middle)
            if found is None or holds(found):
                high = middle
            else:
                low = found.offset + 1
        return low

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        self._topics.close()
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _polled(self, consumer: Consumer) -> Any:
        """The next message; None at the end."""
        message = consumer.poll(ASK_SECONDS)
        if message is None:
            raise RetryError(
                f"Kafka doesn't answer: nothing of topic {self.name} came within "
                f"{ASK_SECONDS:.0f} s",
                reason="timeout",
            )
        error = message.error()
        if error is None:
            return message
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka names it so
            return None
        raise mapped(error, f"read topic {self.name}", SourceError, self._heard) from None

    def _understood(self, offset: int, value: bytes) -> tuple[LogHead, LogPlace]:
        try:
            return read_place(value)
        except (ValueError, LookupError, TypeError) as error:
            raise SourceError(
                f"topic {self.name} has at offset {offset} what no relay has written: {error}. "
                "Let source.log name the topic that the relay has as sink.log; nobody else may "
                "write to it"
            ) from error

    def _connected(self) -> Consumer:
        if self._consumer is None:
            settings = reader_settings(self._section, self._client_id, self._heard)
            settings |= {
                "enable.partition.eof": True,
                "fetch.wait.max.ms": LOOK_MILLISECONDS,
                "fetch.queue.backoff.ms": 1,
                "queued.min.messages": 1,
            }
            try:
                self._consumer = Consumer(settings)
            except KafkaException as error:
                raise SourceError(f"Kafka can't be used as configured: {error}") from error
        return self._consumer
