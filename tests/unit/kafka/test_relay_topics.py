"""What topics of a relay are made with, and which of those that are there may lose messages."""

from __future__ import annotations

import pytest

from connectors.kafka.relay.config import KafkaRelayConfig
from connectors.kafka.relay.doctor import compaction, keys_lacking, risks
from connectors.kafka.relay.topics import RelayTopics
from connectors.kafka.topics import Topic
from tests.generators.by_hand import table

SAFE = {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}


def made(**keys: object) -> list[str | None]:
    """`min.insync.replicas` of each topic that is made."""
    config = KafkaRelayConfig.model_validate(
        {"type": "kafka", "bootstrap_servers": "kafka:9092", "log": "log", **keys}
    )
    wanted = RelayTopics(config, "store").wanted([table("id")])
    return [topic.settings.get("min.insync.replicas") for topic in wanted]


def test_of_three_replicas_two_must_have_a_message() -> None:
    """Before the source lets go of it; with fewer one that is away would stop everything."""
    assert made(replicas=3) == ["2"] * 4
    assert made(replicas=2) == made() == [None] * 4


def test_the_settings_of_tables_topics_win() -> None:
    """Who says how many must have a message is heard."""
    assert made(replicas=3, topic_settings={"min.insync.replicas": 1})[1] == "1"


@pytest.mark.parametrize(
    ("replicas", "settings", "said"),
    [
        (1, SAFE, "one replica"),
        (3, {**SAFE, "min.insync.replicas": "1"}, "--add-config min.insync.replicas=2"),
        (
            3,
            {**SAFE, "unclean.leader.election.enable": "true"},
            "--add-config unclean.leader.election.enable=false",
        ),
    ],
)
def test_a_topic_that_may_lose_messages_is_said(
    replicas: int, settings: dict[str, str], said: str
) -> None:
    """With the command that mends it: the source has let go of them."""
    topic = Topic("store.public.hotel", "id", 1, replicas, frozenset())
    [risk] = risks(topic, settings)
    assert said in risk


@pytest.mark.parametrize("settings", [SAFE, {}])
def test_a_topic_that_is_safe_or_unreadable_is_not(settings: dict[str, str]) -> None:
    """What isn't known is no warning."""
    assert not list(risks(Topic("store.public.hotel", "id", 1, 3, frozenset()), settings))


@pytest.mark.parametrize(
    ("keys", "table_has_key", "topic", "said"),
    [
        ({}, True, "store.public.hotel", "`sink.truncates: false`"),
        ({"truncates": False}, True, "store.public.hotel", None),
        ({"truncates": False}, False, "store.public.hotel", "those of its table have none"),
        ({"log": "log"}, True, "log", "those of the log have none"),
        ({}, True, "store.transaction", None),
        ({}, True, "store.checkpoint", None),
    ],
)
def test_a_topic_that_would_refuse_what_has_no_key_is_said(
    keys: dict[str, object],
    table_has_key: bool,  # noqa: FBT001 - a case of the table
    topic: str,
    said: str | None,
) -> None:
    """Where it is compacted: before the first such message stops the daemon."""
    section = {"type": "kafka", "bootstrap_servers": "kafka:9092", **keys}
    config = KafkaRelayConfig.model_validate(section)
    wanted = RelayTopics(config, "store").wanted([table("id")])
    [one] = [one for one in wanted if one.name == topic]
    lacks = keys_lacking(config, one, has_key=table_has_key)
    assert not list(compaction({"cleanup.policy": "delete"}, lacks))
    found = list(compaction({"cleanup.policy": "compact,delete"}, lacks))
    assert [said in each for each in found if said] == ([] if said is None else [True])
    assert bool(found) == (said is not None)
