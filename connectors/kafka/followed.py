"""Which topics belong to which tables, as they are now."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc_daemon.errors import SourceError
from cdc_daemon.nearest import nearest
from connectors.kafka.topics import places_of
from connectors.messages.tables import qualified

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cdc_daemon.events import Relation
    from connectors.kafka.config import KafkaConfig
    from connectors.kafka.topics import Place, Topic, Topics


@dataclass(frozen=True, slots=True)
class Followed:
    """The topics of some tables."""

    by_table: Mapping[str, Sequence[str]]
    """Names, by the qualified names of tables."""
    topics: Mapping[str, Topic]
    """By their names; that of transactions as well."""

    @property
    def places(self) -> list[Place]:
        """All partitions."""
        return places_of(self.topics.values())

    @property
    def ids(self) -> dict[str, str]:
        """Of the topics, by their names."""
        return {name: topic.id for name, topic in self.topics.items()}

    def is_ordered(self, table: str) -> bool:
        """Whether all messages of a table come in one order: in one partition."""
        return sum(self.topics[name].partitions for name in self.by_table[table]) == 1

    def tables_of(self, topic: str) -> list[str]:
        """Those that have messages in it."""
        return [table for table, names in self.by_table.items() if topic in names]


def follow(config: KafkaConfig, topics: Topics, relations: Iterable[Relation]) -> Followed:
    """Look the topics of some tables up. Raises SourceError with all that are missing."""
    configured = {qualified(name): table for name, table in config.tables.items()}
    tables = {relation.qualified_name for relation in relations} & configured.keys()
    wanted = {name: configured[name] for name in sorted(tables)}
    names = topics.names() if any(table.is_pattern for table in wanted.values()) else []
    by_table = {name: table.topics_among(names) for name, table in wanted.items()}
    all_names = {topic for found in by_table.values() for topic in found}
    if config.transactions is not None and wanted:
        all_names.add(config.transactions)
    found = topics.describe(all_names)
    missing = [_absent(name, topics) for name in sorted(all_names - found.keys())]
    missing += [
        f"no topic matches {wanted[name].topic}, which table {name} has"
        for name, some in by_table.items()
        if not some
    ]
    if missing:
        raise SourceError("; ".join(missing))
    return Followed(by_table, found)


def memberships(
    config: KafkaConfig, followed: Followed, relations: Iterable[Relation]
) -> dict[str, str]:
    """How each table belongs to the stream: its topics, and how their messages are understood.

    Another text has all of them read again, from the beginning.
    """
    configured = {qualified(name): table for name, table in config.tables.items()}
    said = {}
    for relation in relations:
        table = relation.qualified_name
        parts = [config.format, config.debezium.model_dump_json()]
        parts.append(configured[table].model_dump_json(exclude={"topic"}))
        ids = sorted(f"{name}={followed.topics[name].id}" for name in followed.by_table[table])
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        said[table] = f"{' '.join(ids)} {digest}"
    return said


def _absent(name: str, topics: Topics) -> str:
    meant = nearest(name, topics.names())
    return f"there is no topic {name}" + (f": did you mean {meant}?" if meant else "")
