"""What a relay has settled for commits that wait: who reads committed messages sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cdc_daemon.errors import SinkError
from cdc_daemon.events import Begin, Change, ChangeKind, Checkpoint, Commit, Position
from connectors.kafka.relay.config import KafkaRelayConfig
from connectors.kafka.relay.sink import KafkaRelay
from connectors.kafka.topics import Place, Topics
from tests.generators.by_hand import table

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon import embedded

HOTEL = table("id", "name")
TRANSACTIONS = 200


def test_all_of_it_is_seen_at_once(kafka: embedded.KafkaServer, tmp_path: Path) -> None:
    """Also though the brokers' marks come after their word: without waiting a third isn't."""
    name = tmp_path.name
    config = KafkaRelayConfig.model_validate(
        {"type": "kafka", "bootstrap_servers": kafka.bootstrap_servers, "log": f"{name}.log"}
    )
    topics = Topics(config, "reader", SinkError)
    relay = KafkaRelay(config, pipeline=name)
    checkpoint = Checkpoint(name, Position(10), "1:1")
    relay.open()
    relay.begin_from([HOTEL], checkpoint, "shop", goes_on=False)
    relay.store(checkpoint)
    places = [Place(f"{name}.{topic}", 0) for topic in ("log", "public.hotel")]
    hidden = 0
    for number in range(11, 11 + TRANSACTIONS):
        relay.begin(Begin(number, 0.0, number))
        relay.change(Change(HOTEL, ChangeKind.INSERT, [b"%d" % number, b'"Astoria"']))
        relay.commit(Commit(Position(number), 0.0))
        relay.settle(replace(checkpoint, position=Position(number)), lambda: None, seen=True)
        hidden += topics.ends(places) != topics.ends(places, seen=False)
    assert not hidden
    relay.close()
