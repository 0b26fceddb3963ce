"""Messages of topics as they come to be the stream."""

from __future__ import annotations

import json
from typing import Any

from confluent_kafka import Message
from structlog.testing import capture_logs

from cdc_daemon.events import NOWHERE
from connectors.kafka.member import Read
from connectors.kafka.standing import Standing
from connectors.kafka.stream import Stream
from connectors.kafka.topics import Place
from connectors.messages.falls import FAR_BYTES
from connectors.messages.formats import MessagesSection, MessageTable
from connectors.messages.reading import TableReader, TopicReader
from connectors.messages.tables import configured_relation

HOTEL = "public.hotel"
PLACE = Place("shop.hotel", 0)


def stream() -> Stream:
    """Of hotels, in one partition."""
    table = MessageTable.model_validate({"key": ["id"], "columns": {"id": "int"}})
    section = MessagesSection.model_validate({})
    reader = TableReader(configured_relation(HOTEL, table), section, table)
    made = Stream()
    made.begin({PLACE.topic: TopicReader([reader], [HOTEL])}, NOWHERE)
    made.add({PLACE: Standing(0)})
    return made


def written(offset: int, lsn: int) -> Read:
    """A row, a second after the one before."""
    source = {"lsn": lsn, "ts_ms": 1_700_000_000_000 + offset * 1000}
    envelope: dict[str, Any] = {"op": "c", "after": {"id": 1}, "source": source}
    value = json.dumps(envelope).encode()
    return Read(PLACE, offset, Message(topic=PLACE.topic, offset=offset, key=None, value=value))


def test_another_server_behind_the_connector_is_told() -> None:
    """Once, and each of its messages counts: what it says is taken for older."""
    hotels = stream()
    hotels.take([written(0, 9 * FAR_BYTES)])
    with capture_logs() as said:
        hotels.take([written(1, 5000), written(2, 6000)])
    (told,) = [one for one in said if one["event"] == "versions_fell"]
    assert (told["topic"], told["partition"], told["offset"]) == (*PLACE, 1)
    assert (told["version"], told["newest"]) == (5000, 9 * FAR_BYTES)
    assert hotels.fallen == 2
