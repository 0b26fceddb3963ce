"""What messages say of rows: Debezium's envelope, rows taken out of it, events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdc_daemon.events import UNCHANGED, ChangeKind, Unreadable
from connectors.messages.formats import MessagesSection, MessageTable
from connectors.messages.message import Message, Said
from connectors.messages.reading import TableReader, TopicReader
from connectors.messages.tables import configured_relation

COLUMNS = {
    "id": "int",
    "name": "text",
    "price": "numeric(8,2)",
    "opened": "date",
    "checked": "timestamptz",
    "big": "text",
}
ROW = {
    "id": 1,
    "name": "Astoria",
    "price": "LxI=",
    "opened": 10712,
    "checked": "2024-02-29T12:34:56.789012Z",
    "big": None,
}
VALUES = [
    *(b"1", b'"Astoria"', b"120.50", b'"1999-05-01"'),
    *(b'"2024-02-29T12:34:56.789012+00:00"', b"null"),
]


def reader(format_: str = "debezium", **table: Any) -> TableReader:
    """Of hotels."""
    config = MessageTable.model_validate({"key": ["id"], "columns": COLUMNS, **table})
    section = MessagesSection.model_validate({"format": format_})
    return TableReader(configured_relation("public.hotel", config), section, config)


def message(value: Any, key: Any = None, **parts: Any) -> Message:
    """As it comes."""
    return Message(
        None if key is None else json.dumps(key).encode(),
        None if value is None else json.dumps(value).encode(),
        "topic shop, partition 0, offset 6",
        number=7,
        time=1700000000.5,
        **parts,
    )


def envelope(operation: str, row: Any, before: Any = None, **source: Any) -> dict[str, Any]:
    """As Debezium 3.6 writes it without schemas."""
    block = {
        "version": "3.6.1.Final",
        "connector": "postgresql",
        "ts_ms": 1795679010987,
        "ts_us": 1795679010987123,
        "snapshot": "false",
        "sequence": '["42266032","42266088"]',
        "schema": "public",
        "table": "hotel",
        "txId": 1019,
        "lsn": 42266088,
    }
    return {
        "before": before,
        "after": row,
        "source": {**block, **source},
        "transaction": {"id": "1019:42266088", "total_order": 3, "data_collection_order": 1},
        "op": operation,
        "ts_ms": 1795679011043,
    }


def test_an_envelope_says_what_a_row_is_from_now_on() -> None:
    """Its values are the JSON that a database gives; version, time and transaction come along."""
    said = reader().read(
        message(envelope("u", ROW), {"id": 1}, headers={"traceparent": b"00-1-2-01"})
    )
    (change,) = said.changes
    assert (change.kind, change.new, change.old) == (ChangeKind.UPDATE, VALUES, None)
    assert (said.version, said.time, said.traceparent) == (42266088, 1795679010.987123, "00-1-2-01")
    assert said.transaction == ("1019", 3)


def test_schemas_say_what_values_mean() -> None:
    """Whatever the column is declared as, and however the connector is set."""
    after = [
        {"type": "int32", "field": "id"},
        {
            "type": "bytes",
            "field": "price",
            "name": "org.apache.kafka.connect.data.Decimal",
            "parameters": {"scale": "3"},
        },
        {"type": "int64", "field": "checked", "name": "io.debezium.time.Timestamp"},
    ]
    schema = {"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": after}]}
    row = {"id": 1, "price": "LxI=", "checked": 1709210096789}
    wrapped = {"schema": schema, "payload": envelope("c", row)}
    said = reader(columns={**COLUMNS, "price": "numeric"}).read(message(wrapped))
    new = said.changes[0].new
    assert new is not None
    assert new[2] == b"12.050"
    assert new[4] == b'"2024-02-29T12:34:56.789+00:00"'


def test_what_an_update_left_as_it_was_is_unchanged() -> None:
    """The placeholder never gets into a document."""
    said = reader().read(message(envelope("u", {**ROW, "big": "__debezium_unavailable_value"})))
    (change,) = said.changes
    assert change.has_unchanged
    assert change.new is not None
    assert change.new[-1] is UNCHANGED


def test_a_delete_and_its_tombstone_take_the_row_of_the_key() -> None:
    """The tombstone is all that there is once the delete was compacted away."""
    hotels = reader()
    deleted = hotels.read(message(envelope("d", None, {"id": 3}), {"id": 3}))
    tombstone = hotels.read(message(None, {"id": 3}, newest=deleted.version))
    for said in (deleted, tombstone):
        (change,) = said.changes
        assert (change.kind, change.new) == (ChangeKind.DELETE, None)
        assert change.old is not None
        assert change.old[0] == b"3"
    assert deleted.version == tombstone.version == 42266088


def test_what_is_streamed_is_newer_than_existing_rows() -> None:
    """Also what a transaction had done before they were read, that was open then."""
    hotels = reader()
    existing = hotels.read(message(envelope("r", ROW, lsn=500, sequence='[null,"500"]')))
    assert (existing.version, existing.floor) == (500, 500)
    streamed = envelope("u", ROW, lsn=400, sequence='[null,"400"]')
    assert hotels.read(message(streamed, floor=500)).version == 500
    after = envelope("u", ROW, lsn=400, sequence='["600","400"]')
    assert hotels.read(message(after, floor=500)).version == 600


def test_the_place_in_the_log_is_told_as_it_is() -> None:
    """However new the version says that a change is; of other versions none is told."""
    existing = envelope("r", ROW, lsn=500, sequence='[null,"500"]')
    later = envelope("u", ROW, lsn=400, sequence='["420","400"]')
    hotels = reader()
    assert hotels.read(message(existing)).lsn == 500
    assert hotels.read(message(later, floor=900)).lsn == 420
    assert reader(version="arrival").read(message(later)).lsn == 0


def test_a_truncate_takes_all_rows_and_a_text_none() -> None:
    """Neither has rows or a key."""
    assert reader().read(message(envelope("t", None))).changes[0].kind is ChangeKind.TRUNCATE
    assert reader().read(message({"op": "m", "source": {}, "message": {}})) == Said()


def test_a_truncate_without_an_order_is_refused() -> None:
    """It has no key: of what is in other partitions nobody knows whether it was before it."""
    config = MessageTable.model_validate({"key": ["id"], "columns": COLUMNS})
    hotel = configured_relation("public.hotel", config)
    section = MessagesSection.model_validate({})
    hotels = TableReader(hotel, section, config, is_ordered=False)
    said = hotels.read(message(envelope("t", None)))
    assert (said.poison, said.changes[0].kind) == ("truncate_unordered", ChangeKind.UPDATE)
    assert said.transaction == ("1019", 3)
    assert not hotels.read(message(envelope("c", ROW))).poison


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{not json", "no_json"),
        (b'"text"', "no_envelope"),
        (b'{"op":"u","after":{"id":1},"source":{}}', "no_lsn"),
    ],
)
def test_what_is_not_understood_is_a_row_that_cannot_be_read(value: bytes, reason: str) -> None:
    """It says why, and where the message is; nothing is raised."""
    said = reader().read(message(None)._replace(value=value))
    assert said.poison == reason
    assert said.changes[0].new is not None
    for cell in said.changes[0].new:
        assert isinstance(cell, Unreadable)
        assert (cell.reason, cell.raw) == (reason, value)
        assert "topic shop, partition 0, offset 6" in cell.explanation


@pytest.mark.parametrize(
    ("said", "key"), [({"source": {}}, None), ({"op": "x"}, None), ({}, b"{not json")]
)
def test_what_is_not_understood_is_still_of_its_transaction(
    said: dict[str, Any], key: bytes | None
) -> None:
    """The others of it needn't wait for one that never comes."""
    value = message({**envelope("c", ROW), **said})
    assert reader().read(value._replace(key=key)).transaction == ("1019", 3)


def test_a_column_may_be_called_transaction() -> None:
    """Only an envelope says of which transaction a message is."""
    row = {"id": "8", "transaction": {"id": "7:9", "total_order": 1}}
    said = reader("flattened").read(message(row)._replace(key=b"{not json"))
    assert (said.poison, said.transaction) == ("no_json", None)


def test_a_value_of_another_type_costs_its_column() -> None:
    """The others of the row can be read."""
    said = reader().read(message(envelope("u", {**ROW, "opened": "soon"})))
    new = said.changes[0].new
    assert new is not None
    assert isinstance(new[3], Unreadable)
    assert new[:3] == VALUES[:3]
    assert not said.poison


def test_flattened_rows() -> None:
    """A row, one that says it is deleted, and a tombstone; versions are the order of the topic."""
    hotels = reader("flattened")
    row = hotels.read(message({**ROW, "__deleted": "false", "__source_ts_ms": 1700000001000}))
    assert (row.changes[0].new, row.version, row.time) == (VALUES, 7, 1700000001.0)
    for gone in (message({**ROW, "__deleted": "true"}, {"id": 1}), message(None, {"id": 1})):
        assert hotels.read(gone).changes[0].kind is ChangeKind.DELETE


@pytest.mark.parametrize("version", ["arrival", "lsn"])
@pytest.mark.parametrize("value", [b"null", b'{"schema": {"type": "struct"}, "payload": null}'])
def test_a_flattened_delete_may_have_a_value_that_is_null(value: bytes, version: str) -> None:
    """So Kafka Connect's converter writes the end of a row, whose schema it knows."""
    hotels = reader("flattened", version=version)
    deleted = hotels.read(message(None, {"id": 3}, newest=7)._replace(value=value))
    (change,) = deleted.changes
    assert change.kind is ChangeKind.DELETE
    assert change.old is not None
    assert change.old[0] == b"3"
    assert (deleted.version, deleted.poison) == (7, "")


def test_flattened_rows_may_bring_their_place_in_the_log() -> None:
    """In a field or a header; without it such a message is a row that can't be read."""
    hotels = reader("flattened", version="lsn")
    assert hotels.read(message({**ROW, "__lsn": 99})).version == 99
    assert hotels.read(message(ROW, headers={"__source_lsn": b"98"})).version == 98
    assert hotels.read(message(ROW)).poison == "no_lsn"


def test_events_of_an_application() -> None:
    """Values by paths; which kind deletes, and which says nothing of the row."""
    bookings = reader(
        "events",
        columns={"id": "int", "price": "numeric", "tenant": "text"},
        fields={"id": "$.booking.id", "price": "$.booking.lines[0].price", "tenant": "headers.t"},
        operation={"at": "$.type", "delete": ["Cancelled"], "ignore": ["Seen"]},
        version="$.revision",
    )
    event = {"type": "Made", "revision": 4, "booking": {"id": 8, "lines": [{"price": 1.50}]}}
    said = bookings.read(message(event, headers={"t": b"north"}))
    assert (said.changes[0].new, said.version) == ([b"8", b"1.5", b'"north"'], 4)
    gone = bookings.read(message({**event, "type": "Cancelled"}))
    assert gone.changes[0].kind is ChangeKind.DELETE
    assert bookings.read(message({**event, "type": "Seen"})).changes == ()
    assert bookings.read(message({"booking": {}})).poison == "no_operation"


@pytest.mark.parametrize("key", [b"8", b'{"id":8}', b'{"id":"8x"}'])
def test_an_event_without_a_value_takes_the_row_of_its_key(key: bytes) -> None:
    """The key alone says which one; where it doesn't, nobody knows which row is meant."""
    bookings = reader("events", columns={"id": "int"})
    (change,) = bookings.read(message(None)._replace(key=key)).changes
    if key == b'{"id":"8x"}':
        assert change.new is not None
        assert isinstance(change.new[0], Unreadable)
    else:
        assert change.old == [b"8"]


def test_of_several_tables_on_one_topic_the_source_block_says_which() -> None:
    """What is of none of them says nothing."""
    both = TopicReader([reader(), reader()], ["public.hotel", "public.room"])
    assert both.read(message(envelope("c", ROW))).changes
    assert both.read(message(envelope("c", ROW, table="guest"))).changes == ()


def test_a_source_block_of_mysql_names_the_database() -> None:
    """It has no schemas: `db` is what the table is called by, not whichever table is first."""
    both = TopicReader([reader(), reader(version="arrival")], ["shop.hotel", "shop.room"])
    block = envelope("c", ROW, db="shop", table="room", file="mysql-bin.000003", pos=154)
    del block["source"]["schema"], block["source"]["lsn"]
    assert both.read(message(block)).version == 7
    block["source"]["table"] = "guest"
    assert both.read(message(block)).changes == ()
