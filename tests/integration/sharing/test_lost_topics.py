"""The topics of the group are deleted while replicas run: they are made again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient

from cdc_daemon.errors import SourceError
from connectors.kafka.session import KafkaSection
from connectors.kafka.topics import Topics
from tests.generators.running_daemon import until
from tests.integration.sharing.conftest import SECONDS

if TYPE_CHECKING:
    from cdc_daemon.embedded import KafkaServer
    from tests.integration.sharing.conftest import Projectors

HOTELS = 40


@pytest.mark.parametrize("which", ["slots", "leader"])
def test_a_topic_of_the_group_that_was_deleted_is_made_again(
    projectors: Projectors, kafka: KafkaServer, which: str
) -> None:
    """With it goes what was told of slots: what isn't known any more is written once more."""
    store = projectors.store
    store.execute(
        f"insert into hotel select n, 'hotel ' || n, null from generate_series(1, {HOTELS}) n"
    )
    members = projectors.add(), projectors.add()
    projectors.wait_shared(*members)
    projectors.catch_up()
    prefix = f"cdc-daemon.{json.loads(members[0].file.read_text())['name']}."
    topics = Topics(KafkaSection(bootstrap_servers=kafka.bootstrap_servers), "test", SourceError)
    [name] = [one for one in topics.names() if one.startswith(prefix) and one.endswith(which)]
    was = topics.describe([name])[name].id
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    client.delete_topics([name])[name].result(60)
    store.execute("update hotel set name = name || '!' where id % 2 = 0")

    def is_another() -> bool:
        found = topics.describe([name]).get(name)
        return found is not None and found.id != was

    until(is_another, SECONDS, "it is there again")
    projectors.wait_shared(*members)
    projectors.catch_up()
    assert store.assert_equal(members[0]) == HOTELS

    def one_leads() -> bool:
        return sum(bool(one.status()["replica"]["leads"]) for one in members) == 1

    until(one_leads, SECONDS, "one of them leads")  # the seat of the leader is given out anew
