"""Messages of topics as they come to be the stream."""

from __future__ import annotations

import json
from typing import Any

from confluent_kafka import Message
from structlog.testing import capture_logs

from cdc_daemon.events import NOWHERE, Change, Commit, OwnVersion
from connectors.kafka.member import Read
from connectors.kafka.standing import Standing
from connectors.kafka.stream import Stream
from connectors.kafka.topics import Place
from connectors.messages.falls import FAR_BYTES
from connectors.messages.formats import MessagesSection, MessageTable
from connectors.messages.reading import TableReader, TopicReader
from connectors.messages.tables import configured_relation
from connectors.messages.transactions import Transactions

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


TOLD = Place("shop.transaction", 0)


def take_together(version: str | None, *rows: tuple[Place, int, int]) -> list[Any]:
    """What a transaction is in the stream, by the places, offsets and `lsn` of its rows."""
    table = MessageTable.model_validate(
        {"key": ["id"], "columns": {"id": "int"}, "version": version}
    )
    section = MessagesSection.model_validate({})
    reader = TableReader(configured_relation(HOTEL, table), section, table)
    made = Stream()
    made.begin({PLACE.topic: TopicReader([reader], [HOTEL])}, NOWHERE, Transactions([HOTEL]))
    made.add({place: Standing(0) for place, *_ in [*rows, (TOLD, 0, 0)]})
    read = []
    for order, (place, offset, lsn) in enumerate(rows, 1):
        envelope = {
            "op": "c",
            "after": {"id": order},
            "source": {"lsn": lsn, "pos": order * 100},
            "transaction": {"id": f"7:{lsn}", "total_order": order},
        }
        read.append(Read(place, offset, message_of(envelope)))
    counted = [{"data_collection": HOTEL, "event_count": len(rows)}]
    end = {"status": "END", "id": "7:99", "data_collections": counted}
    return made.take([*read, Read(TOLD, 0, message_of(end))])


def message_of(value: Any) -> Message:
    """As the client gives it."""
    return Message(topic="shop", offset=0, key=None, value=json.dumps(value).encode())


def test_offsets_of_one_transaction_are_no_common_version() -> None:
    """What comes next of a row would have a lower one than the other partition has here."""
    other = Place(PLACE.topic, 1)
    events = take_together("arrival", (PLACE, 5, 50), (other, 1_000_000, 60))
    assert [type(one) for one in events[:5]] == [Change, OwnVersion, Change, OwnVersion, Commit]
    assert [one.version for one in events if not isinstance(one, Change)][:3] == [6, 1_000_001, 0]


def test_numbers_of_one_transaction_are_no_common_version() -> None:
    """Of an application, or of another database."""
    events = take_together("$.source.pos", (PLACE, 5, 50), (PLACE, 6, 60))
    assert [one.version for one in events if isinstance(one, OwnVersion)] == [100, 200]


def test_places_in_the_log_have_a_common_version() -> None:
    """The highest of the transaction: nothing that comes later is lower."""
    events = take_together(None, (PLACE, 5, 50), (PLACE, 6, 60))
    assert [type(one) for one in events[:3]] == [Change, Change, Commit]
    assert events[2].version == 60
