"""Members of one group, and what we may not do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.errors import SourceError
from cdc_daemon.events import Change
from cdc_daemon.ports import TableRequest
from connectors.kafka import KafkaSource
from connectors.kafka.config import KafkaConfig
from tests.generators.debezium_topics import DebeziumTopics

if TYPE_CHECKING:
    from cdc_daemon import embedded
    from cdc_daemon.events import Position, Relation
    from tests.conftest import StartKafka

SECONDS = 60.0
TABLE = "public.item"
COLUMNS = {"id": "text", "note": "text", "n": "int"}


class Reader:
    """One process of the group."""

    def __init__(self, topics: DebeziumTopics, **section: Any) -> None:
        table = {"topic": topics.topic, "key": ["id"], "columns": COLUMNS}
        config = {
            "type": "kafka",
            "bootstrap_servers": topics.bootstrap_servers,
            "tables": {TABLE: table},
            **section,
        }
        self.source = KafkaSource(KafkaConfig.model_validate(config), pipeline=topics.topic)
        self.rows: dict[bytes, bytes] = {}
        self.durable: Position | None = None

    def begin(self, *, first: bool) -> None:
        """As a daemon does."""
        relations: list[Relation] = self.source.describe([TableRequest(TABLE)])
        self.source.prepare(relations)
        place = self.source.create_place() if first else self.source.place()
        assert place is not None
        self.source.start(relations, place)

    def read_once(self) -> None:
        """And all that was read is durable."""
        for event in self.source.read(0.1):
            if isinstance(event, Change) and event.new is not None:
                key, note, _ = event.new
                assert isinstance(key, bytes)
                assert isinstance(note, bytes)
                self.rows[key] = note
        last = self.source.last
        self.source.confirm(received=last, durable=last, searchable=last)

    @property
    def partitions(self) -> int:
        """How many are its own."""
        return len(self.source.message_report().parts)


def row(number: int, note: str) -> tuple[str, None, dict[str, Any]]:
    """A row is written."""
    return "u", None, {"id": str(number), "note": note, "n": None}


def read_until(condition: Any, *readers: Reader) -> None:
    """Read with all of them."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        for reader in readers:
            reader.read_once()


def test_partitions_are_shared_and_taken_over(kafka: embedded.KafkaServer) -> None:
    """Two members have all messages together, each key in its order; one goes, and one has all."""
    topics = DebeziumTopics(kafka.bootstrap_servers, partitions=4)
    one, two = Reader(topics), Reader(topics)
    one.begin(first=True)
    topics.commit(*[row(number, "first") for number in range(40)])
    read_until(lambda: len(one.rows) == 40, one)
    two.begin(first=False)
    read_until(lambda: (one.partitions, two.partitions) == (2, 2), one, two)
    topics.commit(*[row(number, "second") for number in range(40)])
    read_until(lambda: len(seconds(one) | seconds(two)) == 40, one, two)
    assert seconds(one)
    assert seconds(two)
    assert not seconds(one) & seconds(two)
    one.source.close()
    read_until(lambda: two.partitions == 4, two)
    topics.commit(*[row(number, "third") for number in range(40)])
    read_until(lambda: [*two.rows.values()].count(b'"third"') == 40, two)
    assert two.source.message_report().rebalances >= 2
    two.source.close()


def test_without_rights_it_says_what_gives_them(private_kafka: StartKafka) -> None:
    """The command is in the error; nothing is tried again."""
    server = private_kafka(users=("reader",))
    settings = server.client_settings("reader")
    section = {
        "bootstrap_servers": settings["bootstrap.servers"],
        "sasl": {
            "mechanism": "PLAIN",
            "user": settings["sasl.username"],
            "password": settings["sasl.password"],
        },
        "tables": {TABLE: {"topic": "shop.item", "key": ["id"], "columns": COLUMNS}},
        "type": "kafka",
    }
    source = KafkaSource(KafkaConfig.model_validate(section), pipeline="rights")
    with pytest.raises(SourceError, match=r"kafka-acls --add .*--operation Read"):
        source.prepare(source.describe([TableRequest(TABLE)]))
    source.close()


def seconds(reader: Reader) -> set[bytes]:
    """The keys of which it has the second row."""
    return {key for key, note in reader.rows.items() if note == b'"second"'}
