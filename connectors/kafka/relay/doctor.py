"""What would keep a relay from writing: the cluster, its topics, our rights. Touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import CdcError, SinkError
from cdc_daemon.ports import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.kafka.relay.config import KafkaRelayConfig
    from connectors.kafka.relay.topics import WantedTopic
    from connectors.kafka.topics import Topic, Topics

_WRITE: Final = "write"


def require_usable(topics: Topics, wanted: Sequence[WantedTopic]) -> None:
    """Raises SinkError where a topic that is there doesn't do."""
    there = topics.describe(topic.name for topic in wanted)
    for topic in wanted:
        if topic.name in there and (why := _misfit(topic, there[topic.name])):
            raise SinkError(why)


def examine(
    config: KafkaRelayConfig,
    topics: Topics,
    wanted: Sequence[WantedTopic],
    relations: Sequence[Relation],
) -> Iterator[Finding]:
    """A finding for each thing that was looked at."""
    yield Finding("cluster", "ok", f"{topics.cluster_id()} at {config.bootstrap_servers}")
    there = topics.describe(topic.name for topic in wanted)
    for topic in wanted:
        if topic.name not in there:
            yield Finding(f"topic {topic.name}", "ok", "it isn't there yet, and will be made")
        elif why := _misfit(topic, there[topic.name]):
            yield Finding(f"topic {topic.name}", "problem", why)
        else:
            yield _size(config, topics, topic)
    for relation in relations:
        if not relation.key:
            yield _keyless(relation)


def _misfit(wanted: WantedTopic, topic: Topic) -> str | None:
    if wanted.is_single and topic.partitions > 1:
        return (
            f"topic {topic.name} has {topic.partitions} partitions, and its order is what it is "
            "for: it must have one. Delete it (kafka-topics --delete --topic "
            f"{topic.name}) where nobody needs it, or choose another name"
        )
    if topic.operations and not {_WRITE, "all"} & topic.operations:
        return (
            f"we may not write to topic {topic.name}: kafka-acls --add --allow-principal User:NAME "
            f"--operation Write --operation Describe --topic {topic.name}"
        )
    return None


def _size(config: KafkaRelayConfig, topics: Topics, wanted: WantedTopic) -> Finding:
    name = f"topic {wanted.name}"
    try:
        size = int(topics.configuration(wanted.name).get("max.message.bytes", "0"))
    except CdcError as error:
        return Finding(name, "ok", f"it is there; its settings can't be read ({error})")
    needed = int(wanted.settings.get("max.message.bytes", "0"))
    if size < needed:
        return Finding(
            name,
            "warning",
            f"it takes messages of {size} bytes, and rows may make some of {needed}: the daemon "
            "would stop at one that is larger. kafka-configs --alter --entity-type topics "
            f"--entity-name {wanted.name} --add-config max.message.bytes={needed}; or lower "
            f"`max_message_bytes` ({config.max_message_bytes}) where no row is so large",
        )
    return Finding(name, "ok", "it is there, and we may write to it")


def _keyless(relation: Relation) -> Finding:
    return Finding(
        f"table {relation.qualified_name}",
        "warning",
        "it has no key, so its messages have none: all of them are in the first partition, and "
        f"compaction can't be used. alter table {relation.qualified_name} add primary key (...)",
    )
