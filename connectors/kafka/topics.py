"""What is asked of a cluster beside its messages: topics, offsets, groups, rights."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from connectors.kafka.committed import NO_COORDINATOR, PAUSE_SECONDS, Bystander
from connectors.kafka.session import Heard, client_settings, mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from cdc_daemon.errors import SinkError, SourceError
    from connectors.kafka.session import KafkaSection

Answer = TypeVar("Answer")

ASK_SECONDS: Final = 10.0
"""A healthy cluster answers within milliseconds; one that elects a leader, within seconds."""

_NO_LEADER: Final = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
"""A partition has none for a moment, or its broker doesn't know yet: its topic was made just now,
or a broker was killed. librdkafka asks again for messages, not for where they begin and end."""


class Place(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, as it is now."""

    name: str
    id: str
    """Another one once it was deleted and made again."""
    partitions: int
    replicas: int
    """Of the partition that has the fewest."""
    operations: frozenset[str]
    """What we may do with it, as Kafka names it in lower case: `read`, `describe`, ..."""


UNKNOWN_EPOCH: Final = -1
"""As librdkafka has it: nothing is compared."""


class Committed(NamedTuple):
    """How far a group is in one partition."""

    offset: int
    """What comes next."""
    metadata: str = ""
    """What the group says of it besides."""
    epoch: int = UNKNOWN_EPOCH
    """Of the leader that wrote what comes before it: another log has another one there."""

    def at(self, place: Place) -> TopicPartition:
        """As the client has it."""
        return TopicPartition(*place, self.offset, self.metadata, self.epoch)


class Topics:
    """Of one cluster. Any thread may ask."""

    def __init__(
        self, section: KafkaSection, client_id: str, unusable: type[SourceError | SinkError]
    ) -> None:
        self._section = section
        self._client_id = client_id
        self._unusable = unusable
        self._heard = Heard()
        self._client: AdminClient | None = None
        self._bystander: Bystander | None = None

    def cluster_id(self) -> str:
        """Another cluster has another one."""
        with self._mapped("ask the cluster who it is"):
            described = self._connected().describe_cluster(request_timeout=ASK_SECONDS)
            return str(described.result().cluster_id)

    def names(self) -> list[str]:
        """Of all topics that we may see, but for Kafka's own."""
        with self._mapped("list topics"):
            found = self._connected().list_topics(timeout=ASK_SECONDS)
        return sorted(name for name in found.topics if not name.startswith("__"))

    def describe(self, names: Iterable[str]) -> dict[str, Topic]:
        """Those that are there."""
        wanted = sorted({*names})
        if not wanted:
            return {}
        found: dict[str, Topic] = {}
        with self._mapped(f"look at topics {', '.join(wanted)}"):
            asked = self._connected().describe_topics(
                TopicCollection(wanted),
                include_authorized_operations=True,
                request_timeout=ASK_SECONDS,
            )
            for name, answer in asked.items():
                if (topic := _topic(answer)) is not None:
                    found[name] = topic
        return found

    def configuration(self, name: str) -> dict[str, str]:
        """The settings of a topic, those by default as well."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        with self._mapped(f"read the settings of topic {name}"):
            [answer] = (
                self._connected().describe_configs([resource], request_timeout=ASK_SECONDS).values()
            )
            return {key: entry.value for key, entry in answer.result().items()}

    def create(
        self,
        name: str,
        *,
        partitions: int,
        replicas: int = -1,
        settings: Mapping[str, str],
        only_try: bool = False,
    ) -> bool:
        """Make a topic; False where there is one already. `replicas` -1: as the cluster likes.

        `only_try`: nothing is made, and what would fail fails.
        """
        new = NewTopic(
            name, num_partitions=partitions, replication_factor=replicas, config=dict(settings)
        )
        with self._mapped(f"make topic {name}"):
            [answer] = (
                self._connected()
                .create_topics([new], request_timeout=ASK_SECONDS, validate_only=only_try)
                .values()
            )
            return not _is(answer, KafkaError.TOPIC_ALREADY_EXISTS)

    def begins(self, places: Sequence[Place]) -> dict[Place, int]:
        """The first offset that each partition still has."""
        return self._offsets(places, OffsetSpec.earliest())

    def ends(
        self, places: Sequence[Place], *, seen: bool = True, seconds: float = ASK_SECONDS
    ) -> dict[Place, int]:
        """The offset behind the last message of each, as far as transactions have ended.

        Not `seen`: of transactions that haven't as well.
        """
        level = IsolationLevel.READ_COMMITTED if seen else IsolationLevel.READ_UNCOMMITTED
        return self._offsets(places, OffsetSpec.latest(), level, seconds)

    def written(self, topics: Iterable[Topic]) -> dict[str, int]:
        """How far each was written, of open transactions as well: the sum over its partitions."""
        written: Counter[str] = Counter()
        for place, end in self.ends(places_of(topics), seen=False).items():
            written[place.topic] += end
        return dict(written)

    def committed(self, group: str, places: Iterable[Place]) -> dict[Place, Committed]:
        """How far a group is, in each of these partitions of which it has said so."""
        asked = [TopicPartition(*place) for place in places]
        if not asked:
            return {}
        with self._mapped(f"read the offsets of group {group}"):
            found = self._beside(group).committed(asked, ASK_SECONDS)
        return {
            Place(one.topic, one.partition): Committed(
                one.offset, one.metadata or "", known_epoch(one.leader_epoch)
            )
            for one in found
            if one.offset >= 0
        }

    def commit(self, group: str, offsets: Mapping[Place, Committed]) -> None:
        """Say how far a group is that has no members."""
        said = [one.at(place) for place, one in offsets.items()]
        if not said:
            return
        with self._mapped(f"set the offsets of group {group}"):
            self._once_ready(lambda: self._alter(group, said), NO_COORDINATOR)

    def forget(self, group: str) -> None:
        """Delete a group that has no members, and how far it is; nothing where there is none."""

        def ask() -> bool:
            [answer] = (
                self._connected()
                .delete_consumer_groups([group], request_timeout=ASK_SECONDS)
                .values()
            )
            return _is(answer, KafkaError.GROUP_ID_NOT_FOUND)

        with self._mapped(f"delete group {group}"):
            self._once_ready(ask, NO_COORDINATOR)

    def members(self, group: str) -> list[str]:
        """Who is in a group just now: client and host of each."""
        with self._mapped(f"look at group {group}"):
            described = self._described(group)
        return [f"{one.client_id} on {one.host.lstrip('/')}" for one in described.members]

    def operations(self, group: str) -> frozenset[str]:
        """What we may do with a group, be it there or not, as Kafka names it in lower case."""
        with self._mapped(f"look at group {group}"):
            try:
                described = self._described(group, include_authorized_operations=True)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                    raise
                return frozenset()
        return frozenset(_operation(one) for one in described.authorized_operations or [])

    def close(self) -> None:
        """Let go of the connections. Safe to call twice."""
        self._client = self._bystander = None

    def _described(self, group: str, **more: bool) -> Any:
        def ask() -> Any:
            asked = self._connected().describe_consumer_groups(
                [group], request_timeout=ASK_SECONDS, **more
            )
            return asked[group].result()

        return self._once_ready(ask, NO_COORDINATOR)

    def _alter(self, group: str, said: list[TopicPartition]) -> None:
        asked = [ConsumerGroupTopicPartitions(group, said)]
        found = self._connected().alter_consumer_group_offsets(asked, request_timeout=ASK_SECONDS)
        for one in found[group].result().topic_partitions or []:
            if one.error is not None:
                raise KafkaException(one.error)

    def _offsets(
        self,
        places: Sequence[Place],
        which: OffsetSpec,
        level: IsolationLevel = IsolationLevel.READ_COMMITTED,
        seconds: float = ASK_SECONDS,
    ) -> dict[Place, int]:
        if not places:
            return {}

        def ask() -> dict[Place, int]:
            asked = self._connected().list_offsets(
                {TopicPartition(*place): which for place in places},
                isolation_level=level,
                request_timeout=seconds,
            )
            return {
                Place(at.topic, at.partition): int(answer.result().offset)
                for at, answer in asked.items()
            }

        with self._mapped("read where topics begin and end"):
            return self._once_ready(ask, _NO_LEADER, seconds)

    def _once_ready(
        self, ask: Callable[[], Answer], not_yet: Collection[int], seconds: float = ASK_SECONDS
    ) -> Answer:
        """What was asked; where it fails so, again, by a client that knows nothing of before."""
        until = time.monotonic() + seconds
        while True:
            try:
                return ask()
            except KafkaException as error:
                if error.args[0].code() not in not_yet or time.monotonic() > until:
                    raise
            self._client = None
            time.sleep(PAUSE_SECONDS)

    def _beside(self, group: str) -> Bystander:
        bystander = self._bystander
        if bystander is None or bystander.group != group:
            bystander = Bystander(self._section, self._client_id, group, self._heard)
            self._bystander = bystander
        return bystander

    def _connected(self) -> AdminClient:
        """Another thread's question may fail meanwhile, and have the client forgotten."""
        client = self._client
        if client is None:
            settings = client_settings(self._section, self._client_id, self._heard)
            client = self._client = AdminClient(settings)
        client.poll(0)
        return client

    @contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        """What failed is asked by another client next.

        The one that it failed with may wait for ever for the coordinator of a group, though the
        broker that was killed is there again.
        """
        try:
            yield
        except KafkaException as error:
            client, heard = self._client, self._heard
            if client is not None:
                client.poll(0)  # hears why
            self._client, self._heard = None, Heard()
            self._bystander = None
            raise mapped(error.args[0], what, self._unusable, heard) from error


def known_epoch(epoch: int | None) -> int:
    """That of a leader, as the client has it: None where nobody has said one."""
    return UNKNOWN_EPOCH if epoch is None else epoch


def places_of(topics: Iterable[Topic]) -> list[Place]:
    """All their partitions."""
    return [Place(topic.name, number) for topic in topics for number in range(topic.partitions)]


def _topic(answer: Any) -> Topic | None:
    """None where there is none of that name."""
    if _is(answer, KafkaError.UNKNOWN_TOPIC_OR_PART):
        return None
    said = answer.result()
    return Topic(
        name=said.name,
        id=str(said.topic_id),
        partitions=len(said.partitions),
        replicas=min((len(one.replicas) for one in said.partitions), default=0),
        operations=frozenset(_operation(one) for one in said.authorized_operations or []),
    )


def _operation(operation: AclOperation) -> str:
    return str(operation.name).lower()


def _is(answer: Any, code: int) -> bool:
    """Whether it failed so; raises what it failed of otherwise."""
    try:
        answer.result()
    except KafkaException as error:
        if error.args[0].code() == code:
            return True
        raise
    return False
