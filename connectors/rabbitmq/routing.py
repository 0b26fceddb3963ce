"""Which table a message is of, and what it says of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from connectors.messages.falls import Falls
from connectors.messages.message import Message, Said
from connectors.messages.reading import TableReader, TopicReader
from connectors.messages.tables import configured_relations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Relation
    from connectors.rabbitmq.config import RabbitConfig
    from connectors.rabbitmq.deliveries import Delivery


class Fallen(NamedTuple):
    """A message that was committed later than those before it, and has a lower place in the log."""

    queue: str
    version: int
    newest: int


class Routing:
    """Reads the messages of one start."""

    def __init__(self, config: RabbitConfig, relations: Sequence[Relation]) -> None:
        self._config = config
        self._tables = config.message_tables
        self._shown = frozenset(relations)
        shown = {relation.qualified_name: relation for relation in relations}
        is_ordered = len(config.queues) <= 1  # among queues nobody knows of an order
        self._readers = {
            name: TableReader(
                shown.get(name, relation), config, self._tables[name], is_ordered=is_ordered
            )
            for name, relation in configured_relations(self._tables).items()
        }
        self._by_key: dict[str, TopicReader | None] = {}
        self._passed_over: list[str] = []
        self._floor = self._newest = self._poison = 0
        self._falls: Falls[str] = Falls()
        self._newest_of: dict[str, int] = {}
        """The highest place in the log that has come, by queues: each may have its own server."""
        self._fallen: list[Fallen] = []

    def read(self, delivery: Delivery) -> Said:
        """What it says; no changes where it is of no table that is read."""
        key = delivery.routing_key
        if key not in self._by_key:
            self._by_key[key] = self._reader_of(key)
        reader = self._by_key[key]
        if reader is None:
            return Said(time=delivery.arrived_at)
        said = reader.read(self._message(delivery))
        self._look_whether_fallen(delivery.queue, said)
        self._floor = max(self._floor, said.floor)
        self._newest = max(self._newest, said.version)
        self._poison += bool(said.poison)
        shown = tuple(change for change in said.changes if change.relation in self._shown)
        return said._replace(changes=shown)

    def take_passed_over(self) -> list[str]:
        """Routing keys that are of no table, each of them once."""
        keys, self._passed_over = self._passed_over, []
        return keys

    def take_poison(self) -> int:
        """How many messages weren't understood since the last call."""
        poison, self._poison = self._poison, 0
        return poison

    @property
    def fallen(self) -> int:
        """Messages of which the version has fallen."""
        return self._falls.total

    def take_fallen(self) -> list[Fallen]:
        """The first one of each queue, once."""
        fallen, self._fallen = self._fallen, []
        return fallen

    def _look_whether_fallen(self, queue: str, said: Said) -> None:
        newest = self._newest_of.get(queue, 0)
        if self._falls.look(queue, said, newest):
            self._fallen.append(Fallen(queue, said.lsn, newest))
        self._newest_of[queue] = max(newest, said.lsn)

    def _reader_of(self, key: str) -> TopicReader | None:
        words = key.split(".")
        names = [
            name for name in self._tables if self._is_of(words, self._tables[name].routing_keys)
        ]
        if not names:
            self._passed_over.append(key)
            return None
        readers = [self._readers[name] for name in names]
        return TopicReader(readers, names, is_shared=self._says_table(names))

    def _is_of(self, words: Sequence[str], patterns: Sequence[str]) -> bool:
        """Without patterns every key is."""
        return not patterns or any(matches(words, pattern.split(".")) for pattern in patterns)

    def _says_table(self, names: Sequence[str]) -> bool:
        """Whether only a message itself says of which table it is."""
        tables = [self._tables[name] for name in names]
        return all(
            not table.routing_keys and self._config.format_of(table) == "debezium"
            for table in tables
        )

    def _message(self, delivery: Delivery) -> Message:
        return Message(
            key=None,
            value=delivery.body,
            where=delivery.where,
            time=delivery.published_at or delivery.arrived_at,
            headers={name: _text(value) for name, value in delivery.headers.items()},
            floor=self._floor,
            newest=self._newest,
        )


def matches(words: Sequence[str], pattern: Sequence[str]) -> bool:
    """As a topic exchange has it: `*` is one word, `#` any number of them."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return matches(words, pattern[1:]) or (bool(words) and matches(words[1:], pattern))
    return bool(words) and pattern[0] in {"*", words[0]} and matches(words[1:], pattern[1:])


def _text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
