"""The replicas of a pipeline as consumer groups of Kafka: partitions are seats, offsets are facts.

Two topics of our own have no messages: the group of one decides who leads (it has one partition),
that of the other who has which slots (a partition each). What is told of a slot is the metadata of
its committed offset.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from cdc_daemon.errors import SourceError
from cdc_daemon.events import Position
from cdc_daemon.ports import SLOTS, Reached, Seat
from connectors.kafka.session import Heard, client_settings, mapped_errors
from connectors.kafka.topics import Place, Topics
from connectors.relay.words import group_name, leading, written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from cdc_daemon.ports import Word
    from connectors.kafka.session import KafkaSection

SESSION_MILLISECONDS: Final = 6_000
"""Whoever is silent for so long loses what it has: the least that brokers allow by default."""
HEARTBEAT_MILLISECONDS: Final = 1_500
SINK_BYTES: Final = 6
"""Of the digest that tells groups of one name apart: there are a handful in a cluster."""
_OURS_NO_LONGER: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._STATE,  # noqa: SLF001 - librdkafka names its own errors so
        KafkaError._NO_OFFSET,  # noqa: SLF001 - the same
    }
)


class Seats:
    """The partitions of one topic, divided among those who are there. One thread owns it."""

    def __init__(self, section: KafkaSection, name: str, partitions: int, topics: Topics) -> None:
        self.name = name
        """Of the topic, and of the group."""
        self._section = section
        self._partitions = partitions
        self._topics = topics
        self._heard = Heard()
        self._consumer: Consumer | None = None

    @property
    def places(self) -> list[Place]:
        """All of them, whoever has them."""
        return [Place(self.name, number) for number in range(self._partitions)]

    @property
    def is_there(self) -> bool:
        """Whether we take part."""
        return self._consumer is not None

    def take_part(self, *, wanted: bool) -> None:
        """Be there, or leave at once."""
        if wanted and self._consumer is None:
            self._topics.create(self.name, partitions=self._partitions, settings={})
            with self._mapped(f"join group {self.name}"):
                self._consumer = Consumer(self._settings())
                self._consumer.subscribe([self.name])
        elif not wanted and self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            consumer.close()

    def look(self, timeout_seconds: float) -> frozenset[int]:
        """What we have."""
        consumer = self._consumer
        if consumer is None:
            return frozenset()
        with self._mapped(f"take part in group {self.name}"):
            message = consumer.poll(timeout_seconds)
            error = None if message is None else message.error()
            if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                self._topics.create(self.name, partitions=self._partitions, settings={})
            elif error is not None:
                raise KafkaException(error)
            return frozenset(one.partition for one in consumer.assignment())

    def note(self, metadata: Mapping[int, str]) -> bool:
        """Keep that of partitions of ours; of those that aren't by now nothing is kept.

        Whether all is.
        """
        if self._consumer is None:
            return False
        offsets = [TopicPartition(self.name, one, 0, text) for one, text in metadata.items()]
        with self._mapped(f"commit offsets of group {self.name}"):
            try:
                kept = self._consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                if error.args[0].code() not in _OURS_NO_LONGER:
                    raise
                return False
        return not any(one.error for one in kept)

    def _settings(self) -> dict[str, object]:
        return {
            **client_settings(self._section, self.name, self._heard),
            "group.id": self.name,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": SESSION_MILLISECONDS,
            "heartbeat.interval.ms": HEARTBEAT_MILLISECONDS,
            "enable.auto.commit": False,
            "auto.offset.reset": "latest",
        }

    def _mapped(self, what: str) -> AbstractContextManager[None]:
        return mapped_errors(what, SourceError, self._heard)


class RelayGroup:
    """A `Group` of replicas that follow one log into one sink. One thread owns it."""

    def __init__(self, section: KafkaSection, pipeline: str, sink: str) -> None:
        digest = blake2b(sink.encode(), digest_size=SINK_BYTES).hexdigest()
        name = group_name(pipeline, digest)
        self._topics = Topics(section, name, SourceError)
        self._leading = Seats(section, leading(name), 1, self._topics)
        self._sharing = Seats(section, f"{name}.slots", SLOTS, self._topics)

    def take_part(self, *, leading: bool, sharing: bool) -> None:
        """Join each group, or leave it."""
        self._leading.take_part(wanted=leading)
        self._sharing.take_part(wanted=sharing)

    def look(self, timeout_seconds: float) -> Seat:
        """What Kafka has assigned to us."""
        began = time.monotonic()
        leads = bool(self._leading.look(0 if self._sharing.is_there else timeout_seconds))
        slots = self._sharing.look(timeout_seconds if self._sharing.is_there else 0)
        left = timeout_seconds - (time.monotonic() - began)
        if left > 0 and not (self._leading.is_there or self._sharing.is_there):
            time.sleep(left)
        return Seat(leads, slots)

    def is_led(self) -> bool:
        """Whether anybody is there who would lead: one of them does, or will at once."""
        return bool(self._topics.members(self._leading.name))

    def members(self) -> int:
        """Those of the group of slots."""
        return len(self._topics.members(self._sharing.name))

    def tell(self, reached: Mapping[int, Reached]) -> None:
        """Commit it."""
        self._sharing.note({slot: _written(one) for slot, one in reached.items()})

    def say(self, word: Word | None) -> bool:
        """Commit it, of the leader's one partition."""
        return self._leading.note({0: "" if word is None else written(word)})

    def told(self) -> Mapping[int, Reached]:
        """What is committed."""
        found = self._topics.committed(self._sharing.name, self._sharing.places)
        said = ((place.partition, _read(one.metadata)) for place, one in found.items())
        return {slot: reached for slot, reached in said if reached is not None}

    def close(self) -> None:
        """Leave both groups."""
        self.take_part(leading=False, sharing=False)
        self._topics.close()


def _written(reached: Reached) -> str:
    return f"{reached.era} {reached.durable} {reached.searchable}"


def _read(metadata: str) -> Reached | None:
    """None where somebody else has set the offsets of the group."""
    era, _, rest = metadata.partition(" ")
    durable, _, searchable = rest.partition(" ")
    if not (durable.isdecimal() and searchable.isdecimal()):
        return None
    return Reached(era, Position(int(durable)), Position(int(searchable)))
