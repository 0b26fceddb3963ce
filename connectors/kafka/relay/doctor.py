"""What would keep a relay from writing: the cluster, its topics, our rights. Touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import CdcError, SinkError
from cdc_daemon.ports import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cdc_daemon.events import Relation
    from connectors.kafka.relay.config import KafkaRelayConfig
    from connectors.kafka.relay.topics import RelayTopics, WantedTopic
    from connectors.kafka.topics import Topic, Topics

SAFE_COPIES: Final = 2
"""Brokers that must have a message before the source lets go of it: they write it to their disks
later, so one that loses power loses its last ones."""


def require_usable(topics: Topics, wanted: Sequence[WantedTopic]) -> None:
    """Raises SinkError where a topic that is there doesn't do."""
    there = topics.describe(topic.name for topic in wanted)
    for topic in wanted:
        if topic.name in there and (why := _misfit(topic, there[topic.name])):
            raise SinkError(why)


def examine(
    config: KafkaRelayConfig,
    topics: Topics,
    names: RelayTopics,
    relations: Sequence[Relation],
) -> Iterator[Finding]:
    """A finding for each thing that was looked at."""
    yield Finding("cluster", "ok", f"{topics.cluster_id()} at {config.bootstrap_servers}")
    wanted = list(names.wanted(relations))
    there = topics.describe(topic.name for topic in wanted)
    keyless = {relation.qualified_name for relation in relations if not relation.key}
    for topic in wanted:
        lacks = keys_lacking(config, topic, has_key=topic.table not in keyless)
        if topic.name not in there:
            yield _to_be_made(names, topics, topic, lacks)
        elif why := _misfit(topic, there[topic.name]):
            yield Finding(f"topic {topic.name}", "problem", why)
        else:
            yield _as_it_is(config, topics, topic, there[topic.name], lacks)
    for relation in relations:
        if not relation.key:
            yield _keyless(relation)


def keys_lacking(config: KafkaRelayConfig, wanted: WantedTopic, *, has_key: bool) -> str:
    """Which messages of a topic have no key, and what to do where it is compacted; else empty."""
    delete = (
        f"kafka-configs --alter --entity-type topics --entity-name {wanted.name} --add-config "
        "cleanup.policy=delete"
    )
    if wanted.name == config.log:
        return f"those of the log have none. {delete}"
    if wanted.table and not has_key:
        return f"those of its table have none. {delete}"
    if wanted.table and config.truncates:
        return f"a TRUNCATE has none. Set `sink.truncates: false`; or {delete}"
    return ""


def compaction(settings: Mapping[str, str], lacks: str) -> Iterator[str]:
    """What a topic would refuse, as it is set."""
    if lacks and "compact" in settings.get("cleanup.policy", ""):
        yield (
            "It is compacted, and takes no message without a key: the daemon would stop at the "
            f"first one, and {lacks}"
        )


def _to_be_made(names: RelayTopics, topics: Topics, wanted: WantedTopic, lacks: str) -> Finding:
    check = f"topic {wanted.name}"
    try:
        names.create(wanted, topics, only_try=True)
    except CdcError as error:
        return Finding(check, "problem", f"it isn't there, and can't be made: {error}")
    said = ["it isn't there yet, and will be made", *compaction(wanted.settings, lacks)]
    return Finding(check, "warning" if len(said) > 1 else "ok", ". ".join(said))


def _misfit(wanted: WantedTopic, topic: Topic) -> str | None:
    if wanted.is_single and topic.partitions > 1:
        return (
            f"topic {topic.name} has {topic.partitions} partitions, and its order is what it is "
            "for: it must have one. Delete it (kafka-topics --delete --topic "
            f"{topic.name}) where nobody needs it, or choose another name"
        )
    needed = ("write", "read") if wanted.is_read else ("write",)
    for operation in needed:
        if topic.operations and not {operation, "all"} & topic.operations:
            return (
                f"we may not {operation} topic {topic.name}: kafka-acls --add --allow-principal "
                f"User:NAME --operation {operation.capitalize()} --operation Describe "
                f"--topic {topic.name}"
            )
    return None


def _as_it_is(
    config: KafkaRelayConfig, topics: Topics, wanted: WantedTopic, topic: Topic, lacks: str
) -> Finding:
    said, settings = "it is there, and we may write to it", dict[str, str]()
    try:
        settings = topics.configuration(topic.name)
    except CdcError as error:
        said = f"it is there; its settings can't be read ({error})"
    warnings = [
        *_size(config, wanted, settings),
        *risks(topic, settings),
        *compaction(settings, lacks),
    ]
    check = f"topic {topic.name}"
    return (
        Finding(check, "warning", ". ".join(warnings)) if warnings else Finding(check, "ok", said)
    )


def risks(topic: Topic, settings: Mapping[str, str]) -> Iterator[str]:
    """How messages could be lost that the source doesn't have any more."""
    alter = f"kafka-configs --alter --entity-type topics --entity-name {topic.name} --add-config"
    lost = "its last messages may be lost, and the source doesn't have them any more"
    if topic.replicas < SAFE_COPIES:
        yield (
            f"It has one replica: with its broker {lost}. Give it three "
            "(kafka-reassign-partitions --execute), and have topics made so by `sink.replicas: 3`"
        )
    elif int(settings.get("min.insync.replicas", SAFE_COPIES)) < SAFE_COPIES:
        yield (
            f"One replica may be the only one that has a message: with its broker {lost}. "
            f"{alter} min.insync.replicas={SAFE_COPIES}"
        )
    if settings.get("unclean.leader.election.enable") == "true":
        yield (
            f"A replica that is behind may become its leader: {lost}. "
            f"{alter} unclean.leader.election.enable=false"
        )


def _size(
    config: KafkaRelayConfig, wanted: WantedTopic, settings: Mapping[str, str]
) -> Iterator[str]:
    needed = int(wanted.settings.get("max.message.bytes", "0"))
    size = int(settings.get("max.message.bytes", needed))
    if size < needed:
        yield (
            f"It takes messages of {size} bytes, and rows may make some of {needed}: the daemon "
            "would stop at one that is larger. kafka-configs --alter --entity-type topics "
            f"--entity-name {wanted.name} --add-config max.message.bytes={needed}; or lower "
            f"`max_message_bytes` ({config.max_message_bytes}) where no row is so large"
        )


def _keyless(relation: Relation) -> Finding:
    return Finding(
        f"table {relation.qualified_name}",
        "warning",
        "it has no key, so its messages have none: all of them are in the first partition, and "
        f"compaction can't be used. alter table {relation.qualified_name} add primary key (...)",
    )
