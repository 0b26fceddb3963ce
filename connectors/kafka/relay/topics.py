"""The topics of a relay: which there are to be, and those that are lacking made."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import RetryError
from connectors.kafka.relay.columns import topic_name
from connectors.kafka.topics import ASK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cdc_daemon.events import Relation
    from connectors.kafka.relay.config import KafkaRelayConfig
    from connectors.kafka.topics import Topic, Topics

LOOK_SECONDS: Final = 0.1
"""How often it is looked whether a topic that was made is there."""
LOG_BYTES: Final = 2_000_000
"""A message of the log is 900 kB of changes, and what says how to read them."""
SEGMENT_BYTES: Final = 10_000_000
"""Only segments that are full are compacted, and a start reads the end of one."""

REPLICAS_TO_SPARE: Final = 3
"""From so many on a message must be on two brokers, and one may still be away."""


class WantedTopic(NamedTuple):
    """A topic that there is to be."""

    name: str
    partitions: int
    settings: Mapping[str, str]
    is_single: bool = False
    """Whether it must not have more than one partition: its order is the whole."""
    is_read: bool = False
    """Whether a start looks what its last message is."""
    table: str = ""
    """Whose changes it has (`Relation.qualified_name`); empty where it isn't one table's."""


class RelayTopics:
    """Of one pipeline. Pure, but for `make`."""

    def __init__(self, config: KafkaRelayConfig, pipeline: str) -> None:
        self._config = config
        self.prefix = config.prefix(pipeline)
        self.checkpoint = f"{self.prefix}.checkpoint"
        self.log = config.log

    def wanted(self, relations: Iterable[Relation]) -> Iterator[WantedTopic]:
        """All of them."""
        config = self._config
        safe = {"min.insync.replicas": "2"} if self._has_replicas_to_spare else {}
        sized = safe | {"max.message.bytes": str(config.max_message_bytes)}
        settings = sized | {name: str(value) for name, value in config.topic_settings.items()}
        yield WantedTopic(
            self.checkpoint,
            1,
            {
                **safe,
                "cleanup.policy": "compact",
                "segment.bytes": str(SEGMENT_BYTES),
                "max.message.bytes": str(LOG_BYTES),
            },
            is_single=True,
            is_read=True,
        )
        for relation in relations:
            name = topic_name(self.prefix, relation.schema, relation.name)
            yield WantedTopic(name, config.partitions, settings, table=relation.qualified_name)
        if config.transactions:
            yield WantedTopic(f"{self.prefix}.transaction", 1, safe, is_single=True)
        if config.heartbeat is not None:
            yield WantedTopic(f"__debezium-heartbeat.{self.prefix}", 1, safe)
        if self.log is not None:
            largest = {"max.message.bytes": str(max(LOG_BYTES, config.max_message_bytes))}
            yield WantedTopic(self.log, 1, safe | largest, is_single=True, is_read=True)

    @property
    def _has_replicas_to_spare(self) -> bool:
        return (self._config.replicas or 0) >= REPLICAS_TO_SPARE

    def make(self, wanted: Sequence[WantedTopic], topics: Topics) -> dict[str, Topic]:
        """Make those that are lacking. Returns all of them."""
        there = topics.describe(topic.name for topic in wanted)
        for topic in wanted:
            if topic.name not in there:
                self.create(topic, topics)
        return _all_of({topic.name for topic in wanted}, topics)

    def create(self, topic: WantedTopic, topics: Topics, *, only_try: bool = False) -> None:
        """Make one, or see whether that would do."""
        topics.create(
            topic.name,
            partitions=topic.partitions,
            replicas=self._config.replicas or -1,
            settings=topic.settings,
            only_try=only_try,
        )


def _all_of(names: set[str], topics: Topics) -> dict[str, Topic]:
    """A topic that was made just now is unknown to a broker for a moment."""
    until = time.monotonic() + ASK_SECONDS
    while lacking := names - (there := topics.describe(names)).keys():
        if time.monotonic() > until:
            raise RetryError(
                f"topics {', '.join(sorted(lacking))} were made, and aren't there",
                reason="unavailable",
            )
        time.sleep(LOOK_SECONDS)
    return there
