"""What `cdc-daemon check` says of topics: everything that can be known beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import CdcError, SourceError
from cdc_daemon.ports import Finding
from cdc_daemon.quantities import duration_text
from connectors.kafka.followed import follow
from connectors.kafka.registry import Registry
from connectors.messages.tables import qualified

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.kafka.config import KafkaConfig
    from connectors.kafka.registry import RegistryConfig
    from connectors.kafka.session import KafkaSection
    from connectors.kafka.topics import Topic, Topics

_NEEDED: Final = ("read", "describe")
FOREVER: Final = -1
MILLISECONDS: Final = 1000


def examine(
    topics: Topics, config: KafkaConfig, group: str, relations: Sequence[Relation]
) -> Iterator[Finding]:
    """Look at cluster, topics, rights and group; touches nothing."""
    where = f"cluster {topics.cluster_id()} at {config.bootstrap_servers}"
    yield Finding("connection", "ok", where)
    if config.schema_registry is not None:
        yield _registry(config.schema_registry)
    for relation in relations:
        yield from _table(topics, config, relation)
    yield _order(config)
    yield _group(topics, config, group, relations)


def _registry(config: RegistryConfig) -> Finding:
    try:
        Registry(config).require()
    except CdcError as error:
        return Finding("schema registry", "problem", str(error))
    return Finding("schema registry", "ok", f"{config.url} lets us in")


def _table(topics: Topics, config: KafkaConfig, relation: Relation) -> Iterator[Finding]:
    check = f"table {relation.qualified_name}"
    try:
        followed = follow(config, topics, [relation])
    except SourceError as error:
        yield Finding(check, "problem", str(error))
        return
    for topic in followed.topics.values():
        lacking = [name for name in _NEEDED if name not in topic.operations]
        if lacking:
            yield Finding(check, "problem", _rights(config, topic, lacking))
            continue
        yield _topic(check, topics, config, topic)
    if not followed.is_ordered(relation.qualified_name) and _has_truncates(config, relation):
        yield Finding(
            check,
            "ok",
            "in several partitions: a TRUNCATE becomes a dead letter, as its order among the rows "
            "isn't known (docs/reference/kafka.md)",
        )


def _has_truncates(config: KafkaConfig, relation: Relation) -> bool:
    """Only the envelope says so."""
    tables = {qualified(name): table for name, table in config.tables.items()}
    return (tables[relation.qualified_name].format or config.format) == "debezium"


def _rights(config: KafkaConfig, topic: Topic, lacking: Sequence[str]) -> str:
    operations = " ".join(f"--operation {name.title()}" for name in lacking)
    return (
        f"we may not {' and '.join(lacking)} topic {topic.name}. Run: {allow(config)} "
        f"{operations} --topic {topic.name}"
    )


def allow(config: KafkaSection) -> str:
    """The beginning of a command that gives our user rights."""
    user = "NAME" if config.sasl is None else config.sasl.user
    return f"kafka-acls --add --allow-principal User:{user}"


def _topic(check: str, topics: Topics, config: KafkaConfig, topic: Topic) -> Finding:
    settings = topics.configuration(topic.name) if "describe_configs" in topic.operations else {}
    said = [
        f"topic {topic.name}: {topic.partitions} partition{'s' if topic.partitions > 1 else ''}"
    ]
    warnings = list(_warnings(config, topic, settings))
    return Finding(check, "warning" if warnings else "ok", ". ".join([*said, *warnings]))


def _warnings(config: KafkaConfig, topic: Topic, settings: dict[str, str]) -> Iterator[str]:
    if topic.replicas == 1:
        yield "It has one replica: with its broker its messages are gone"
    if config.start == "latest":
        yield "`start` is latest: a read model that is new begins empty"
    kept = int(settings.get("retention.ms", FOREVER))
    is_compacted = "compact" in settings.get("cleanup.policy", "")
    if topic.name != config.transactions and kept != FOREVER and not is_compacted:
        yield (
            f"It keeps messages for {duration_text(kept / MILLISECONDS)}: a read model that is "
            "made anew lacks every row of which the last message is older. To keep the last one of "
            "each key, run: kafka-configs --alter --entity-type topics --entity-name "
            f"{topic.name} --add-config cleanup.policy=compact (where whoever writes it leaves "
            "TRUNCATE out, which has no key, and would be refused: `skipped.operations` of "
            "Debezium has `t` by default, a relay of ours wants `truncates: false`)"
        )


def _order(config: KafkaConfig) -> Finding:
    if config.transactions is not None:
        said = f"by {config.transactions}: what a transaction wrote is shown at once"
        if others := sorted({*map(qualified, config.tables)} - config.in_transactions):
            said += f", but for {', '.join(others)}: only envelopes say which one they are of"
        return Finding("order", "ok", said)
    return Finding(
        "order",
        "ok",
        "the messages of one key come in their order, and each is shown by itself; what rows show "
        "together converges, and isn't what the database was at one moment "
        "(docs/reference/kafka.md)",
    )


def _group(
    topics: Topics, config: KafkaConfig, group: str, relations: Sequence[Relation]
) -> Finding:
    check = f"group {group}"
    if not topics.operations(group) & {"read", "all"}:
        return Finding(
            check,
            "problem",
            "we may not read as a member of it. Run: "
            f"{allow(config)} --operation Read --group {group}",
        )
    if members := topics.members(group):
        return Finding(
            check,
            "warning",
            f"it has members: {', '.join(members)}. Unless that is this pipeline itself, each of "
            "them gets a part of the messages: give the pipeline a `group` of its own",
        )
    return Finding(check, "ok", _standing(topics, config, group, relations))


def _standing(
    topics: Topics, config: KafkaConfig, group: str, relations: Sequence[Relation]
) -> str:
    """How far it is, as far as that can be known: of tables is said elsewhere what lacks."""
    try:
        kept = topics.committed(group, follow(config, topics, relations).places)
    except SourceError:
        return "we may be a member of it"
    return f"it has read from {len(kept)} partitions" if kept else "it has read nothing yet"
