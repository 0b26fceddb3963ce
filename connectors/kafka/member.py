"""A member of a consumer group: its client, and which partitions it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from cdc_daemon.errors import RetryError, SourceError, StartAgainError
from connectors.kafka.session import SESSION_SECONDS, Heard, client_settings, mapped, mapped_errors
from connectors.kafka.topics import UNKNOWN_EPOCH, Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from confluent_kafka import Message

    from connectors.kafka.session import KafkaSection
    from connectors.kafka.topics import Committed

MOST_MESSAGES: Final = 1000
"""Taken at a time: milliseconds of work."""
LONGEST_SILENCE_SECONDS: Final = 86_400
"""The most that Kafka allows between two reads: while the sink is away nothing is read, and that
must not cost the partitions. Whether the reader is stuck is for `/livez` to say."""
QUEUE_KILOBYTES: Final = 32_000
"""Fetched and not read yet: as much as waits for the sink by default."""
TIMEOUT_SECONDS: Final = 10.0
_TRUNCATION: Final = KafkaError(KafkaError._LOG_TRUNCATION).str()  # noqa: SLF001 - librdkafka names it so
"""The client has compared the epochs (KIP-320): it says so only in the text of another error."""


class Read(NamedTuple):
    """What was read of a partition."""

    place: Place
    offset: int
    message: Message | None
    """None: it has no more just now, and `offset` is where it ends."""


class Assigned(Protocol):
    """Who is told which partitions are ours. Called within `poll` only."""

    def assigned(self, places: Sequence[Place]) -> Mapping[Place, Committed]:
        """These are ours from now on; where each is to be read from."""

    def revoked(self, places: Sequence[Place]) -> None:
        """These will be others' in a moment: what is durable can still be committed."""

    def lost(self, places: Sequence[Place]) -> None:
        """These are others' already."""

    def truncated(self, place: Place) -> None:
        """The brokers have lost the end of what was read of it: what is there is another log."""


class Member:
    """One thread owns it."""

    def __init__(
        self,
        section: KafkaSection,
        *,
        group: str,
        client_id: str,
        topics: Sequence[str],
        assigned: Assigned,
    ) -> None:
        self._heard = Heard()
        self._assigned = assigned
        with mapped_errors(f"join group {group}", SourceError, self._heard):
            self._client = Consumer(
                {
                    "queued.max.messages.kbytes": QUEUE_KILOBYTES,
                    "session.timeout.ms": SESSION_SECONDS * 1000,
                    "max.poll.interval.ms": LONGEST_SILENCE_SECONDS * 1000,
                    **client_settings(section, client_id, self._heard),
                    "group.id": group,
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                    "partition.assignment.strategy": "cooperative-sticky",
                }
            )
            self._client.subscribe(
                list(topics),
                on_assign=self._on_assign,
                on_revoke=lambda _, some: assigned.revoked(_places(some)),
                on_lost=lambda _, some: assigned.lost(_places(some)),
            )

    def poll(self, timeout_seconds: float) -> list[Read]:
        """What has come. Raises RetryError, SourceError, StartAgainError."""
        with mapped_errors("read topics", SourceError, self._heard):
            first = self._client.poll(timeout_seconds)
            if first is None:
                self._raise_heard()
                return []
            some = [first, *self._client.consume(MOST_MESSAGES - 1, 0)]
        self._heard.last, self._heard.is_alone = None, False
        return [self._read(message) for message in some]

    def commit(self, offsets: Mapping[Place, Committed], *, wait: bool = False) -> None:
        """Say how far we are. Where we aren't a member any more it is for others to say."""
        said = [one.at(place) for place, one in offsets.items()]
        with mapped_errors("commit offsets", SourceError, self._heard):
            if wait:
                self._client.commit(offsets=said, asynchronous=False)
            else:
                self._client.commit(offsets=said, asynchronous=True)

    def seek(self, offsets: Mapping[Place, int]) -> None:
        """Read on from there."""
        with mapped_errors("read topics again", SourceError, self._heard):
            for place, offset in offsets.items():
                self._client.seek(TopicPartition(*place, offset))

    def close(self) -> None:
        """Leave the group."""
        self._client.close()

    def _on_assign(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        begins = self._assigned.assigned(_places(partitions))
        client.incremental_assign([one.at(place) for place, one in begins.items()])
        for place, one in begins.items():
            if one.epoch != UNKNOWN_EPOCH:  # only where it seeks it compares epochs at the start
                client.seek(one.at(place))

    def _read(self, message: Message) -> Read:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        place = Place(topic or "", -1 if partition is None else partition)
        error = message.error()
        if error is None:
            return Read(place, offset or 0, message)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka names it so
            return Read(place, offset or 0, None)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - the same
            if _TRUNCATION in error.str():
                self._assigned.truncated(place)
            raise StartAgainError(
                f"partition {place.partition} of topic {place.topic} has not the message any more "
                f"that is next: {error.str()}"
            )
        raise mapped(error, f"read topic {place.topic}", SourceError, self._heard)

    def _raise_heard(self) -> None:
        """Why nothing comes, where the client knows: it tries again by itself."""
        heard = self._heard
        if heard.unusable is not None:
            raise mapped(heard.unusable, "read topics", SourceError, heard)
        if heard.is_alone:
            heard.is_alone = False
            said = "no broker answers" if heard.last is None else heard.last.str()
            raise RetryError(f"could not read topics: {said}")


def is_left(error: Exception) -> bool:
    """Whether a commit came too late: the partitions are others' by now."""
    cause = error.__cause__
    if not isinstance(cause, KafkaException):
        return False
    return cause.args[0].code() in {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._NO_OFFSET,  # noqa: SLF001 - librdkafka names it so
        KafkaError._STATE,  # noqa: SLF001 - the same
    }


def _places(partitions: Sequence[TopicPartition]) -> list[Place]:
    return [Place(one.topic, one.partition) for one in partitions]
