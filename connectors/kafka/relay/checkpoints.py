"""The checkpoint of a relay, in Kafka: it is written in the same transaction as the changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from cdc_daemon.errors import RetryError, SinkError
from cdc_daemon.events.stored import CHECKPOINT_FORMAT, checkpoint_of
from connectors.kafka.relay.envelope import Message
from connectors.kafka.session import Heard, client_settings, mapped_errors
from connectors.kafka.topics import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdc_daemon.events import Checkpoint
    from connectors.kafka.relay.config import KafkaRelayConfig
    from connectors.kafka.topics import Topics

ASK_SECONDS: Final = 10.0
FIRST_LOOK: Final = 100
"""How many messages from the end are looked at first: ours is nearly always among them."""
_END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka names its own errors so


@dataclass(frozen=True, slots=True)
class Stored:
    """What a relay knows of before."""

    checkpoint: Checkpoint
    topics: Mapping[str, str] = field(default_factory=dict)
    """The ids of its topics: another id is another topic of the name."""
    ends: Mapping[str, int] = field(default_factory=dict)
    """How far each was written at least, as `Ends` counts it."""


def message_of(stored: Stored, topic: str) -> Message:
    """How it is written: the last one of a pipeline is the one that counts."""
    value = {
        "format": CHECKPOINT_FORMAT,
        "checkpoint": stored.checkpoint,
        "topics": dict(stored.topics),
        "ends": dict(stored.ends),
    }
    return Message(topic, stored.checkpoint.pipeline.encode(), orjson.dumps(value))


def stored_of(value: bytes, topic: str) -> Stored:
    """What such a message says. Raises SinkError where another version has written it."""
    said = orjson.loads(value)
    if said.get("format") != CHECKPOINT_FORMAT:
        raise SinkError(
            f"the checkpoint in topic {topic} has format {said.get('format')!r}, and this version "
            f"of cdc-daemon reads {CHECKPOINT_FORMAT}: use the version that wrote it"
        )
    return Stored(checkpoint_of(said["checkpoint"]), said["topics"], said["ends"])


class LastMessages:
    """Reads the end of a topic of one partition, as who reads only what is committed."""

    def __init__(self, config: KafkaRelayConfig, client_id: str, topics: Topics) -> None:
        self._config = config
        self._client_id = client_id
        self._topics = topics

    def last(self, topic: str, key: bytes | None = None) -> bytes | None:
        """The value of the last message (with that key); None where there is none."""
        if topic not in self._topics.describe([topic]):
            return None
        heard = Heard()
        settings = client_settings(self._config, self._client_id, heard) | {
            "group.id": self._client_id,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
        }
        with mapped_errors(f"read topic {topic}", SinkError, heard):
            consumer = Consumer(settings)
            try:
                return self._last_of(consumer, topic, key)
            finally:
                consumer.close()

    def _last_of(self, consumer: Consumer, topic: str, key: bytes | None) -> bytes | None:
        place = Place(topic, 0)
        low, high = self._topics.begins([place])[place], self._topics.ends([place])[place]
        distance = FIRST_LOOK
        while True:
            begin = max(low, high - distance)
            found = None
            for found_key, value in self._between(consumer, topic, begin, high):
                if key is None or found_key == key:
                    found = value
            if found is not None or begin == low:
                return found
            distance *= FIRST_LOOK

    def _between(
        self, consumer: Consumer, topic: str, begin: int, end: int
    ) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Until the end of before, or beyond: where somebody goes on writing there is no other."""
        consumer.assign([TopicPartition(topic, 0, begin)])
        while True:
            message = consumer.poll(ASK_SECONDS)
            if message is None:
                raise RetryError(f"could not read topic {topic}: nothing came", reason="timeout")
            error = message.error()
            if error is None:
                yield message.key(), message.value()
                if (message.offset() or 0) >= end - 1:
                    return
            elif error.code() == _END:
                return
            else:
                raise KafkaException(error)
