"""Topics of a Kafka: made, and read from their beginning to their end."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TIMEOUT_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.1
NO_LEADER: Final = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)

NOT_YET: Final = NO_LEADER | {KafkaError.UNKNOWN_TOPIC_OR_PART}


class Record(NamedTuple):
    """A message as it lies in its topic."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def make_topics(
    bootstrap_servers: str,
    names: Iterable[str],
    partitions: int = 1,
    login: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Make topics, all at once. `login`: the settings of a user, where the brokers know any.

    They are there when it returns: a broker that has just started takes a moment to know of them.
    """
    admin = AdminClient({**login, "bootstrap.servers": bootstrap_servers})
    made = admin.create_topics([NewTopic(name, partitions, 1) for name in names])
    for future in made.values():
        future.result(TIMEOUT_SECONDS)
    until(lambda: _are_known(admin, list(made)), TIMEOUT_SECONDS, "the topics are there")


def topic_names(bootstrap_servers: str, beginning: str) -> list[str]:
    """Those whose names begin so."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    names = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    return sorted(name for name in names if name.startswith(beginning))


def end_of(bootstrap_servers: str, topic: str) -> int:
    """The offset that the next message will have, where somebody goes on writing; 0 without one."""
    if topic not in topic_names(bootstrap_servers, topic):
        return 0
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "tests"})
    try:
        return _end(consumer, TopicPartition(topic, 0))
    finally:
        consumer.close()


def records(
    bootstrap_servers: str, topics: Iterable[str], login: Mapping[str, Any] = MappingProxyType({})
) -> list[Record]:
    """All that is committed in topics by now, topic by topic, in the order of their partitions.

    `login`: the settings of a user, where the brokers know any.
    """
    settings = {
        **login,
        "bootstrap.servers": bootstrap_servers,
        "group.id": "tests",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
    consumer = Consumer(settings)
    try:
        return _until_ends(consumer, list(topics))
    finally:
        consumer.close()


def _are_known(admin: AdminClient, names: list[str]) -> bool:
    found = admin.describe_topics(
        TopicCollection(names), include_authorized_operations=True, request_timeout=TIMEOUT_SECONDS
    )
    try:
        described = [future.result(TIMEOUT_SECONDS) for future in found.values()]
    except KafkaException as error:
        if error.args[0].code() not in NOT_YET:
            raise
        return False
    return all(each.partitions and each.authorized_operations for each in described)


def _end(consumer: Consumer, at: TopicPartition) -> int:
    """Where it ends by now; it has no leader for a moment where its broker was killed."""
    until = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return int(consumer.get_watermark_offsets(at, TIMEOUT_SECONDS)[1])
        except KafkaException as error:
            if error.args[0].code() not in NO_LEADER or time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)


def _until_ends(consumer: Consumer, topics: list[str]) -> list[Record]:
    """Up to where each partition ends now: where somebody goes on writing it has no other end."""
    known = consumer.list_topics(timeout=TIMEOUT_SECONDS).topics
    ends = {
        (name, number): _end(consumer, TopicPartition(name, number))
        for name in topics
        for number in known[name].partitions
    }
    left = set(ends)
    consumer.assign([TopicPartition(name, number, 0) for name, number in left])
    found: list[tuple[str, int, Record]] = []
    while left:
        message = consumer.poll(TIMEOUT_SECONDS)
        assert message is not None, "Kafka took too long"
        topic, partition = str(message.topic()), int(message.partition() or 0)
        if (error := message.error()) is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            left.discard((topic, partition))
            continue
        headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
        offset = int(message.offset() or 0)
        if offset >= ends[topic, partition] - 1:
            left.discard((topic, partition))
        if offset < ends[topic, partition]:
            record = Record(topic, offset, message.key(), message.value(), tuple(headers))
            found.append((topic, partition, record))
    return [record for *_, record in sorted(found, key=lambda one: (*one[:2], one[2].offset))]
