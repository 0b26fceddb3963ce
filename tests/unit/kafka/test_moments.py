"""What brokers answer for a moment, while a partition or a group has nobody: it is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from confluent_kafka import KafkaError

from cdc_daemon.errors import RetryError, SourceError
from connectors.kafka.session import KafkaSection
from connectors.kafka.topics import Committed, Place, Topics
from tests.generators.kafka_played import (
    FIND_COORDINATOR,
    LIST_OFFSETS,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    PlayedKafka,
    played_kafka,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka.admin import AdminClient

PLACES: Final = [Place("shop.hotel", 0), Place("shop.hotel", 1)]
NO_COORDINATOR: Final = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)
PLAYED_EPOCH: Final = 0
"""What is played says that of every offset, whatever was committed."""
NO_LEADER: Final = (
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)


@pytest.fixture
def played() -> Iterator[PlayedKafka]:
    """A cluster with one topic."""
    with played_kafka() as cluster:
        cluster.make_topic("shop.hotel", 2)
        yield cluster


@pytest.fixture
def topics(played: PlayedKafka) -> Iterator[Topics]:
    """What asks it."""
    section = KafkaSection(bootstrap_servers=played.bootstrap_servers)
    asking = Topics(section, "tests", SourceError)
    yield asking
    asking.close()


def test_a_group_whose_coordinator_has_moved(played: PlayedKafka, topics: Topics) -> None:
    """It is asked again; asked by the client for administrators the whole process would end."""
    topics.commit("readers", {PLACES[1]: Committed(3, "so far", PLAYED_EPOCH)})
    played.fail(OFFSET_FETCH, *NO_COORDINATOR)
    assert topics.committed("readers", PLACES) == {PLACES[1]: Committed(3, "so far", PLAYED_EPOCH)}
    played.fail(OFFSET_FETCH, *NO_COORDINATOR)
    assert topics.committed("nobody", PLACES) == {}


def test_a_group_whose_coordinator_takes_nothing_yet(played: PlayedKafka, topics: Topics) -> None:
    """What is said of it is said again."""
    played.fail(OFFSET_COMMIT, *NO_COORDINATOR)
    topics.commit("readers", {PLACES[0]: Committed(7, "", PLAYED_EPOCH)})
    assert topics.committed("readers", PLACES) == {PLACES[0]: Committed(7, "", PLAYED_EPOCH)}


def test_a_group_without_rights_is_no_reason_to_wait(played: PlayedKafka, topics: Topics) -> None:
    """It is said at once: no coordinator is told to who may not know the group."""
    played.fail(FIND_COORDINATOR, *[KafkaError.GROUP_AUTHORIZATION_FAILED] * 20)
    with pytest.raises(SourceError, match="--operation Read --group"):
        topics.committed("secret", PLACES)


def test_a_partition_that_has_no_leader_yet(played: PlayedKafka, topics: Topics) -> None:
    """As of a topic that was made just now: it begins and ends somewhere a moment later."""
    played.fail(LIST_OFFSETS, *NO_LEADER)
    assert topics.ends(PLACES) == dict.fromkeys(PLACES, 0)


def test_what_no_moment_mends_is_an_error(played: PlayedKafka, topics: Topics) -> None:
    """It isn't asked again."""
    played.fail(LIST_OFFSETS, KafkaError.KAFKA_STORAGE_ERROR)
    with pytest.raises(RetryError, match="where topics begin and end"):
        topics.ends(PLACES)


class Forgotten(Topics):
    """Whenever its client was looked at, another thread's question fails."""

    _kept: AdminClient | None = None

    @property
    def _client(self) -> AdminClient | None:
        kept, self._kept = self._kept, None
        return kept

    @_client.setter
    def _client(self, client: AdminClient | None) -> None:
        self._kept = client


def test_a_client_that_another_thread_has_given_up(played: PlayedKafka) -> None:
    """Who has it already asks it all the same."""
    section = KafkaSection(bootstrap_servers=played.bootstrap_servers)
    asking = Forgotten(section, "tests", SourceError)
    assert asking.ends(PLACES) == dict.fromkeys(PLACES, 0)
    asking.close()
