"""Topics of Kafka as a source, against a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connectors.kafka import KafkaSource
from connectors.kafka.config import KafkaConfig
from tests.conformance.follower import follower  # noqa: F401 - a fixture
from tests.conformance.place_suite import PlaceSuite
from tests.conformance.source_suite import SourceSuite
from tests.conformance.upstream import Delete, Insert, Truncate, Update
from tests.generators.debezium_topics import DebeziumTopics

if TYPE_CHECKING:
    from cdc_daemon import embedded
    from tests.conformance.follower import Follower
    from tests.conformance.upstream import Upstream, Write

TABLE = "public.item"


class KafkaUpstream:
    """Debezium's topics of one table, with that of transactions."""

    table = TABLE

    def __init__(self, server: embedded.KafkaServer, partitions: int) -> None:
        self.topics = DebeziumTopics(server.bootstrap_servers, partitions=partitions)
        self._rows: dict[str, str | None] = {}
        self._sources: list[KafkaSource] = []

    def source(self) -> KafkaSource:
        """One process."""
        config = KafkaConfig.model_validate(
            {
                "type": "kafka",
                "bootstrap_servers": self.topics.bootstrap_servers,
                "transactions": self.topics.transactions,
                "start": "latest",
                "tables": {
                    TABLE: {
                        "topic": self.topics.topic,
                        "key": ["id"],
                        "columns": {"id": "text", "note": "text", "n": "int"},
                    }
                },
            }
        )
        self._sources.append(KafkaSource(config, pipeline=self.topics.topic))
        return self._sources[-1]

    def commit(self, *writes: Write) -> None:
        """One transaction of the database."""
        self.topics.commit(*[event for write in writes for event in _events(write)])

    def roll_back(self, *writes: Write) -> None:
        """A connector that dies in the middle."""
        self.topics.roll_back(*[event for write in writes for event in _events(write)])

    def token(self) -> str:
        """What stands for all that there is."""
        source = self._sources[-1]
        clock = source.clock()
        try:
            return f"{source.identity()}:{source.show(clock.sample().position)}"
        finally:
            clock.close()

    def disconnect(self) -> None:
        """A client of Kafka connects again by itself."""


def _events(write: Write) -> list[tuple[str, Any, Any]]:
    match write:
        case Insert(key, note):
            return [("c", None, _row(key, note))]
        case Update(key, note, None):
            return [("u", None, _row(key, note))]
        case Update(key, note, str() as new):
            return [("d", _row(key, None), None), ("c", None, _row(new, note))]
        case Delete(key):
            return [("d", _row(key, None), None)]
        case Truncate():
            return [("t", None, None)]
    raise AssertionError(write)


def _row(key: str, note: str | None) -> dict[str, Any]:
    return {"id": key, "note": note, "n": None}


@pytest.fixture
def upstream(kafka: embedded.KafkaServer, request: pytest.FixtureRequest) -> KafkaUpstream:
    """A connector's topics; the parameter is how many partitions they have."""
    return KafkaUpstream(kafka, getattr(request, "param", 2))


class TestKafka(SourceSuite, PlaceSuite):
    """The suites of every source, and of those for which another system keeps a place."""

    knows_inserts = moves_keys = says_what_is_kept = False
    renumbers = True

    @pytest.mark.parametrize("upstream", [1], indirect=True)
    def test_truncates(
        self,
        upstream: Upstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """In a topic of one partition; with more nobody knows which rows a truncate took."""
        super().test_truncates(upstream, follower)

    def test_a_lost_connection_is_retried(
        self,
        upstream: KafkaUpstream,  # type: ignore[override]  # this one's own
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """By the client itself; a start goes on behind what was read, whatever was committed."""
        follower.load()
        for round_ in range(3):
            upstream.commit(Insert(str(round_)))
            follower.follow(1)
            upstream.commit(Insert(f"{round_} while away"))
            follower.start(follower.commits[-1].position)
            follower.follow(1)
        assert len(follower.rows) == 6
