"""Brokers that have lost the end of a topic: noticed, said and counted, at a start and before."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import SinkError
from cdc_daemon.events import Checkpoint, Position
from connectors.kafka.relay.config import KafkaRelayConfig
from connectors.kafka.relay.sink import KafkaRelay
from connectors.relay.log import read_place
from tests.generators.by_hand import table
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cdc_daemon import embedded
    from tests.integration.relaying.conftest import Relayed, StartRelay

HOTEL = table("id", "name")
ROWS = 40


def cut(kafka: embedded.KafkaServer, topic: str) -> None:
    """Its broker dies, and has half of what it had written to the topic when it comes back."""
    kafka.kill()
    (segment,) = (kafka.folder / "data" / f"{topic}-0").glob("*.log")
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size // 2)
    kafka.start()


def write(hotels: psycopg.Connection, first: int) -> None:
    """A transaction for each row."""
    for number in range(first, first + ROWS):
        hotels.execute("insert into hotel values (%s, 'new')", [number])


def said(relay: Relayed, topic: str) -> bool:
    """Whether it says that the topic has lost messages."""
    found = relay.daemon.events("topic_lost_messages")
    return any(event["topic"] == topic and event["at_least"] > 1 for event in found)


def require_all(relay: Relayed, hotels: psycopg.Connection) -> None:
    """Whoever reads the topic from its beginning has every row."""
    relay.daemon.wait_until()
    relay.daemon.catch_up()
    there = {row[0] for row in hotels.execute("select id from hotel")}
    assert {row["id"] for row in relay.rows("public.hotel").values()} == there


def test_it_is_found_at_the_next_start(
    start_relay: StartRelay, hotels: psycopg.Connection, kafka: embedded.KafkaServer
) -> None:
    """The rows of the table come anew, and nothing of other topics."""
    relay = start_relay()
    relay.daemon.wait_until()
    write(hotels, 1)
    hotels.execute("insert into room values (1, 'a', 1)")
    relay.daemon.catch_up()
    assert relay.daemon.terminate() == 0
    topic = f"{relay.prefix}.public.hotel"
    cut(kafka, topic)
    relay.daemon.start()
    relay.daemon.wait_until()
    assert said(relay, topic)
    require_all(relay, hotels)
    assert [event["op"] for event in relay.events("public.room")] == ["c"]
    assert relay.daemon.metrics()[f'cdc_relay_losses_total{{topic="{topic}"}}'] == 1
    assert relay.daemon.terminate() == 0
    relay.daemon.start()
    require_all(relay, hotels)
    assert len(relay.daemon.events("topic_lost_messages")) == 1


def test_it_is_found_while_it_writes(
    start_relay: StartRelay, hotels: psycopg.Connection, kafka: embedded.KafkaServer
) -> None:
    """The relay was idle meanwhile, so no message of its own has failed."""
    relay = start_relay()
    relay.daemon.wait_until()
    write(hotels, 1)
    relay.daemon.catch_up()
    topic = f"{relay.prefix}.public.hotel"
    cut(kafka, topic)
    numbers = itertools.count(1000)

    def found() -> bool:
        hotels.execute("insert into hotel values (%s, 'later')", [next(numbers)])
        return said(relay, topic)

    until(found, 60, "it is said", poll_seconds=0.2)
    require_all(relay, hotels)


def test_a_log_that_has_lost_its_end_is_another_one_to_its_readers(
    start_relay: StartRelay, hotels: psycopg.Connection, kafka: embedded.KafkaServer
) -> None:
    """What it says of every table changes: so they load anew, and lack nothing in silence."""
    relay = start_relay(log=True)
    relay.daemon.wait_until()
    write(hotels, 1)
    relay.daemon.catch_up()
    before, _ = read_place(relay.records("log")[0].value or b"")
    assert relay.daemon.terminate() == 0
    cut(kafka, relay.log)
    relay.daemon.start()
    relay.daemon.wait_until()
    assert said(relay, relay.log)
    after, _ = read_place(relay.records("log")[-1].value or b"")
    assert after.tables.keys() == before.tables.keys()
    assert not {*after.tables.values()} & {*before.tables.values()}


def test_a_checkpoint_that_is_behind_the_log_is_no_reason_to_write_twice(
    kafka: embedded.KafkaServer, tmp_path: Path
) -> None:
    """Both are written at once: it stops, and says which topic to delete."""
    name = tmp_path.name
    section = {"type": "kafka", "bootstrap_servers": kafka.bootstrap_servers, "log": f"{name}.log"}
    relay = KafkaRelay(KafkaRelayConfig.model_validate(section), pipeline=name)
    checkpoint = Checkpoint(name, Position(10), "1:1")
    relay.open()
    relay.begin_from([HOTEL], checkpoint, "shop", goes_on=False)
    relay.store(checkpoint)
    relay.passed(Position(20))
    relay.store(replace(checkpoint, position=Position(20)))
    relay.store(checkpoint)  # as if the one before were the last that is there
    relay.open()
    assert relay.load(name) == checkpoint
    with pytest.raises(SinkError, match=f"kafka-topics --delete --topic {name}.checkpoint"):
        relay.begin_from([HOTEL], checkpoint, "shop", goes_on=True)
    relay.close()
