"""What topics do to a daemon that reads them: brokers die, messages go, topics are made anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.generators.running_daemon import until
from tests.generators.topics import make_topics, records
from tests.integration.kafka.conftest import shop_on
from tests.integration.relaying.test_lost_messages import cut

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.integration.kafka.conftest import Shop

SECONDS = 60.0
ROWS = 40


def test_a_broker_that_dies_and_comes_back(shop: Shop, kafka: embedded.KafkaServer) -> None:
    """The daemon waits for it, says so, and goes on where it was."""
    shop.hotels({1: "Ritz"})
    shop.daemon.start()
    shop.until_shown({"1": "Ritz"})
    kafka.kill()
    shop.daemon.wait_until("waiting")
    assert shop.daemon.health("readyz")[0] == 503
    assert shop.daemon.health("livez")[0] == 200
    until(lambda: shop.daemon.delay() > 2, 60, "the delay rises while nothing is read")
    kafka.start()
    shop.hotels({1: "Ritz!", 2: "Astoria"})
    shop.until_shown({"1": "Ritz!", "2": "Astoria"})
    shop.daemon.wait_until("streaming")
    assert "topics_read_again" not in shop.log()


def test_messages_that_are_gone_are_never_skipped_in_silence(shop: Shop) -> None:
    """Everything is loaded anew from what is there; with `when_lost: stop` the daemon stops."""
    shop.hotels({1: "old", 2: "older"})
    shop.daemon.start()
    shop.until_shown({"1": "old", "2": "older"})
    assert shop.daemon.terminate() == 0
    shop.hotels({1: "never read", 3: "never read"})
    _delete_messages(shop, "hotel")
    shop.hotels({4: "kept"})
    shop.change(backfill={"when_lost": "stop"})
    shop.daemon.start()
    assert shop.daemon.wait(SECONDS) == 3
    assert "messages_gone" in shop.log()
    assert "backfill.when_lost is stop" in shop.log()
    shop.until_shown({"1": "old", "2": "older"})
    shop.change(backfill={"when_lost": "load"})
    shop.daemon.start()
    shop.until_shown({"4": "kept"})


def test_a_topic_that_is_made_anew_is_read_from_its_beginning(shop: Shop) -> None:
    """Its read models are made anew; while it is gone the daemon waits, and says for what."""
    shop.hotels({1: "old", 2: "gone"})
    shop.daemon.start()
    shop.until_shown({"1": "old", "2": "gone"})
    admin = AdminClient({"bootstrap.servers": shop.bootstrap_servers})
    topic = shop.topic("hotel")
    admin.delete_topics([topic])[topic].result(SECONDS)
    until(lambda: "topic_gone" in shop.log(), 60, "the daemon says what it waits for")
    make_topics(shop.bootstrap_servers, [topic], 2)
    more = {str(id_): f"new {id_}" for id_ in range(1, 20)}  # than there was before
    shop.hotels({int(id_): name for id_, name in more.items()})
    shop.until_shown(more)


@pytest.mark.parametrize("is_running", [False, True], ids=["stopped", "running"])
def test_a_log_that_is_another_one_behind_its_offset_is_loaded_anew(
    kafka: embedded.KafkaServer,
    opensearch: embedded.OpenSearchServer,
    tmp_path: Path,
    is_running: bool,  # noqa: FBT001 - while its brokers lose it
) -> None:
    """As much was written again as they have lost: the offset is there, and means another place."""
    with shop_on(kafka, opensearch, tmp_path, partitions=1) as shop:
        for id_ in range(ROWS):
            shop.hotels({id_: "lost, or kept"})
        shop.daemon.start()
        shop.until_shown({str(id_): "lost, or kept" for id_ in range(ROWS)})
        if is_running:
            until(lambda: committed(shop) == ROWS, SECONDS, "it is committed")
        else:
            assert shop.daemon.terminate() == 0
        cut(kafka, shop.topic("hotel"))
        for id_ in range(ROWS, 3 * ROWS):
            shop.hotels({id_: "new"})
        if not is_running:
            shop.change(backfill={"when_lost": "stop"})
            shop.daemon.start()
            assert shop.daemon.wait(SECONDS) == 3
            assert "backfill.when_lost is stop" in shop.log()
            shop.change(backfill={"when_lost": "load"})
            shop.daemon.start()
        found = records(shop.bootstrap_servers, [shop.topic("hotel")])
        there = [json.loads(one.value) for one in found if one.value is not None]
        assert ROWS < len(there) < 3 * ROWS
        shop.until_shown({str(row["id"]): row["name"] for row in there})
        (*_, said) = shop.daemon.events("topic_truncated")
        assert (said["topic"], said["partition"], said["next"]) == (shop.topic("hotel"), 0, ROWS)


def committed(shop: Shop) -> int:
    """How far the group of the daemon is with hotels, as Kafka knows."""
    group = f"cdc-daemon.{shop.name}"
    asking = Consumer({"bootstrap.servers": shop.bootstrap_servers, "group.id": group})
    try:
        [found] = asking.committed([TopicPartition(shop.topic("hotel"), 0)], timeout=SECONDS)
        return int(found.offset)
    finally:
        asking.close()


def _delete_messages(shop: Shop, table: str) -> None:
    """As retention does."""
    admin = AdminClient({"bootstrap.servers": shop.bootstrap_servers})
    offsets = [TopicPartition(shop.topic(table), number, -1) for number in range(2)]
    for future in admin.delete_records(offsets).values():
        future.result(SECONDS)
