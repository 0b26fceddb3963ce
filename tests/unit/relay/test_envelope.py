"""Transactions as Debezium's messages."""

from __future__ import annotations

from typing import Any

import orjson

from cdc_daemon.events import (
    UNCHANGED,
    Begin,
    Change,
    ChangeKind,
    Column,
    ColumnType,
    Commit,
    Position,
    Relation,
    Row,
)
from connectors.kafka.relay.columns import Modes
from connectors.kafka.relay.envelope import Envelopes, Marks, Message
from connectors.kafka.relay.tables import Shape

COLUMNS = (
    Column("id", ColumnType("int4"), nullable=False, in_identity=True),
    Column("name", ColumnType("text"), nullable=False),
    Column("%d", ColumnType("text"), out_of_line=True),
)
ODD = Relation("public", "Odd Table", COLUMNS, ("id",))
FULL = Relation("public", "full", COLUMNS, ("id",), "full")
INDEX = Relation("public", "index", COLUMNS, (), "index")
KEYLESS = Relation("public", "keyless", COLUMNS)
TIME = 1_700_000_000_123_456
KEY: Row = [b"1", b"null", b"null"]
ROW: Row = [b"1", b'"a"', b"null"]


def envelopes(
    *, tombstones: bool = True, truncates: bool = True, schemas: bool = False
) -> Envelopes:
    """An encoder whose transaction has begun."""
    made = Envelopes(
        Shape("store", Modes(), schemas),
        Marks("1.2", "shop"),
        with_transactions=True,
        with_tombstones=tombstones,
        with_truncates=truncates,
    )
    made.begin(Begin(90, TIME / 1e6, 7))
    return made


def written(change: Change, **options: bool) -> list[Message]:
    """The messages of one change."""
    return envelopes(**options).change(change, TIME + 1000)


def value(message: Message) -> Any:
    """What a message says."""
    return orjson.loads(message.value or b"null")


def test_an_insert_is_a_whole_message() -> None:
    """Every field that Debezium's has is there."""
    (message,) = written(Change(ODD, ChangeKind.INSERT, ROW, at=100))
    assert message[:2] == ("store.public.Odd_Table", b'{"id":1}')
    assert value(message) == {
        "before": None,
        "after": {"id": 1, "name": "a", "%d": None},
        "source": {
            "version": "1.2",
            "connector": "postgresql",
            "name": "store",
            "ts_ms": 1_700_000_000_123,
            "snapshot": "false",
            "db": "shop",
            "sequence": '[null,"100"]',
            "ts_us": 1_700_000_000_123_456,
            "ts_ns": 1_700_000_000_123_456_000,
            "schema": "public",
            "table": "Odd Table",
            "txId": 7,
            "lsn": 100,
            "xmin": None,
            "origin": None,
            "origin_lsn": None,
        },
        "transaction": {"id": "7:100", "total_order": 1, "data_collection_order": 1},
        "op": "c",
        "ts_ms": 1_700_000_000_124,
        "ts_us": 1_700_000_000_124_456,
        "ts_ns": 1_700_000_000_124_456_000,
    }


def test_a_delete_is_followed_by_a_tombstone() -> None:
    """Of the old row the key is there, and what is never null is Debezium's stand-in."""
    deleted = Change(ODD, ChangeKind.DELETE, None, KEY)
    first, second = written(deleted)
    assert value(first)["before"] == {"id": 1, "name": "", "%d": None}
    assert second[:3] == (first.topic, first.key, None)
    assert len(written(deleted, tombstones=False)) == 1


def test_a_key_that_changes_is_another_row() -> None:
    """The old one goes, a new one comes, and headers say that they are the same."""
    gone, tombstone, come = written(Change(ODD, ChangeKind.UPDATE, [b"2", b'"a"', b"null"], KEY))
    assert [value(gone)["op"], tombstone.value, value(come)["op"]] == ["d", None, "c"]
    assert [gone.key, tombstone.key, come.key] == [b'{"id":1}', b'{"id":1}', b'{"id":2}']
    assert gone.headers == tombstone.headers == [("__debezium.newkey", b'{"id":2}')]
    assert come.headers == [("__debezium.oldkey", b'{"id":1}')]


def test_a_value_that_was_not_sent_is_the_one_of_before_or_a_placeholder() -> None:
    """With REPLICA IDENTITY FULL the old row has it."""
    new: Row = [b"1", b'"b"', UNCHANGED]
    (message,) = written(Change(ODD, ChangeKind.UPDATE, new, None, has_unchanged=True))
    assert value(message)["after"]["%d"] == "__debezium_unavailable_value"
    old: Row = [b"1", b'"a"', b'"long"']
    (message,) = written(Change(FULL, ChangeKind.UPDATE, new, old, has_unchanged=True))
    assert value(message)["after"]["%d"] == "long"
    assert value(message)["before"] == {"id": 1, "name": "a", "%d": "long"}


def test_keys_are_what_old_rows_have() -> None:
    """The index of the replica identity; or there is none."""
    (message,) = written(Change(INDEX, ChangeKind.INSERT, ROW))
    assert message.key == b'{"id":1}'
    (message,) = written(Change(KEYLESS, ChangeKind.INSERT, ROW))
    assert message.key is None


def test_a_truncate_has_no_rows() -> None:
    """It is of the whole table."""
    (message,) = written(Change(ODD, ChangeKind.TRUNCATE))
    assert message.key is None
    assert [value(message)[name] for name in ("before", "after", "op")] == [None, None, "t"]


def test_a_truncate_that_is_left_out_isnt_counted() -> None:
    """A topic that is compacted would refuse it: it has no key."""
    made = envelopes(truncates=False)
    assert made.change(Change(ODD, ChangeKind.TRUNCATE), TIME) == []
    (ended,) = made.commit(Commit(Position(120), TIME / 1e6, 7))
    assert value(ended)["event_count"] == 0


def test_transactions_say_where_they_begin_and_end() -> None:
    """With how many events of which table."""
    made = envelopes()
    (begun,) = made.begin(Begin(90, TIME / 1e6, 7))
    made.change(Change(ODD, ChangeKind.INSERT, ROW, at=100), TIME)
    made.change(Change(FULL, ChangeKind.INSERT, ROW, at=110), TIME)
    (ended,) = made.commit(Commit(Position(120), TIME / 1e6, 7))
    assert begun[:2] == ("store.transaction", b'{"id":"7:90"}')
    assert value(begun)["status"] == "BEGIN"
    assert value(ended) == {
        "status": "END",
        "id": "7:120",
        "event_count": 2,
        "data_collections": [
            {"data_collection": "public.Odd Table", "event_count": 1},
            {"data_collection": "public.full", "event_count": 1},
        ],
        "ts_ms": 1_700_000_000_123,
    }
    made.begin(Begin(130, TIME / 1e6, 8))
    (message,) = made.change(Change(ODD, ChangeKind.INSERT, ROW, at=140), TIME)
    assert value(message)["source"]["sequence"] == '["120","140"]'


def test_existing_rows_are_reads() -> None:
    """They are of no transaction, and have the position at which they were written."""
    message = envelopes().existing(ODD, ROW, 150, TIME, careful=False)
    said = value(message)
    assert (said["op"], said["transaction"], said["after"]["id"]) == ("r", None, 1)
    assert said["source"]["snapshot"] == "true"
    assert (said["source"]["lsn"], said["source"]["txId"]) == (150, None)


def test_schemas_are_beside_the_payload() -> None:
    """As JsonConverter writes them; headers have none."""
    (message,) = written(Change(ODD, ChangeKind.INSERT, ROW), schemas=True)
    said = value(message)
    assert said["schema"]["name"] == "store.public.Odd_Table.Envelope"
    assert [field["field"] for field in said["schema"]["fields"]][:2] == ["before", "after"]
    assert said["payload"]["op"] == "c"
    key = orjson.loads(message.key or b"")
    assert key["schema"]["fields"] == [{"type": "int32", "optional": False, "field": "id"}]
    assert key["payload"] == {"id": 1}
