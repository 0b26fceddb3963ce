"""The decoder of pgoutput: golden bytes, and what happens to damaged ones."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_daemon.events import (
    UNCHANGED,
    Change,
    ChangeKind,
    Column,
    ColumnType,
    Commit,
    Event,
    Position,
    Relation,
    Watermark,
)
from connectors.postgres.pgoutput import FAR_BYTES, Decoder, read_relation
from connectors.postgres.rowplan import tuple_plan
from connectors.postgres.tupleplan import RelationMessage, TuplePlan
from tests.unit.postgres.messages import (
    INT4,
    JSONB,
    NOT_SENT,
    TEXT,
    Field,
    begin,
    commit,
    delete,
    insert,
    relation,
    row,
    truncate,
    update,
)

COLUMNS = (
    Column("id", ColumnType("int4", oid=INT4), in_identity=True),
    Column("name", ColumnType("text", oid=TEXT)),
    Column("data", ColumnType("jsonb", oid=JSONB), out_of_line=True),
)
ITEM = Relation("public", "item", COLUMNS, ("id",))
STREAMED = [("id", INT4, True), ("unmapped", TEXT, False), ("name", TEXT, False)]
STREAMED += [("data", JSONB, False)]
OID = 16384


def plan_for(message: RelationMessage) -> TuplePlan | None:
    """Only `public.item` is mapped, and of it not `unmapped`."""
    return tuple_plan(message, ITEM) if message.name == "item" else None


@pytest.fixture
def decoder() -> Decoder:
    """One that knows the mapped table, and one that isn't mapped."""
    made = Decoder(plan_for)
    made.decode(relation(OID, STREAMED))
    made.decode(relation(2, [("id", INT4, True)], name="other"))
    return made


def decode_one(decoder: Decoder, data: bytes) -> Change:
    """The one change of the message."""
    change = decoder.decode(data)
    assert isinstance(change, Change)
    assert change.relation is ITEM
    return change


GOLDEN = """
4200000000014865b0000303f001e9d23a000002dd
52000040007075626c6963006974656d006400040169640000000017ffffffff00756e6d61707065640000000019fffffff
f006e616d650000000019ffffffff00646174610000000edaffffffff
49000040004e0004740000000234326e7400000004c3a92222740000000b7b2261223a20312e35307d
55000040004b0004740000000234326e6e6e4e0004740000000234336e7400000003610a62740000000b7b2261223a20312
e35307d
44000040004b0004740000000234336e6e6e
54000000010000004000
430000000000014865b00000000001486720000303f001e9d23a
"""
"""What PostgreSQL 16.14 sent of insert, update of the key, delete and truncate in a transaction."""


def test_golden_transaction() -> None:
    """A transaction that a server sent, byte by byte."""
    decoder = Decoder(plan_for)
    text = GOLDEN.replace("fffffff\nf", "ffffffff").replace("20312\ne", "20312e")
    decoded = [decoder.decode(bytes.fromhex(line)) for line in text.split()]
    assert decoded[:2] == [Watermark(Position(0x14865B0)), None]
    name, data = '"é\\"\\""'.encode(), b'{"a": 1.50}'
    null = b"null"
    assert decoded[2:5] == [
        Change(ITEM, ChangeKind.INSERT, [b"42", name, data]),
        Change(ITEM, ChangeKind.UPDATE, [b"43", b'"a\\nb"', data], [b"42", null, null]),
        Change(ITEM, ChangeKind.DELETE, None, [b"43", null, null]),
    ]
    assert decoded[5] == [Change(ITEM, ChangeKind.TRUNCATE)]
    end = decoded[6]
    assert isinstance(end, Commit)
    assert end.position == 0x1486720
    assert end.xid == 0x2DD
    assert int(end.time) == 946_684_800 + 0x000303F001E9D23A // 1_000_000


def test_inserts(decoder: Decoder) -> None:
    """Mapped columns are converted, the others left out; NULL is JSON's null."""
    change = decode_one(decoder, insert(OID, b"1", b"skip\0me", b'say "x"\n', b'{"a": 1.50}'))
    assert change.kind is ChangeKind.INSERT
    assert change.new == [b"1", b'"say \\"x\\"\\n"', b'{"a": 1.50}']
    assert (change.old, change.has_unchanged) == (None, False)
    assert decode_one(decoder, insert(OID, b"1", None, None, None)).new == [b"1", b"null", b"null"]
    assert decode_one(decoder, insert(OID, b"1", b"", b"", b"{}")).new == [b"1", b'""', b"{}"]


def test_updates(decoder: Decoder) -> None:
    """Without an old row, with the old key, with the whole old row."""
    new = row(b"2", None, b"b", b"{}")
    assert decode_one(decoder, update(OID, new)).old is None
    for kind, old in ((b"K", row(b"1", None, None, None)), (b"O", row(b"1", b"", b"a", b"[]"))):
        change = decode_one(decoder, update(OID, new, old, kind))
        assert change.kind is ChangeKind.UPDATE
        assert change.new == [b"2", b'"b"', b"{}"]
        assert change.old == ([b"1", b"null", b"null"] if kind == b"K" else [b"1", b'"a"', b"[]"])


def test_unchanged_values_are_marked(decoder: Decoder) -> None:
    """Only a mapped value that was not sent counts."""
    change = decode_one(decoder, update(OID, row(b"1", None, b"a", NOT_SENT)))
    assert change.new == [b"1", b'"a"', UNCHANGED]
    assert change.has_unchanged
    assert not decode_one(decoder, update(OID, row(b"1", NOT_SENT, b"a", b"{}"))).has_unchanged


def test_deletes(decoder: Decoder) -> None:
    """The old row only."""
    change = decode_one(decoder, delete(OID, row(b"1", None, None, None)))
    assert (change.kind, change.new) == (ChangeKind.DELETE, None)
    assert change.old == [b"1", b"null", b"null"]


def test_truncates_each_mapped_table(decoder: Decoder) -> None:
    """One message may name several tables; those that no mapping reads are left out."""
    changes = decoder.decode(truncate(2, OID))
    assert isinstance(changes, list)
    assert [(change.kind, change.relation) for change in changes] == [(ChangeKind.TRUNCATE, ITEM)]
    assert decoder.decode(truncate(2)) == []


def test_tables_that_are_not_mapped_are_skipped(decoder: Decoder) -> None:
    """Whatever happens to them."""
    old = row(b"1")
    for message in (insert(2, b"1"), update(2, old), delete(2, old)):
        assert decoder.decode(message) is None


def test_what_changes_nothing_is_skipped(decoder: Decoder) -> None:
    """Types, origins and logical messages."""
    for message in (b"Y\0\0\0\1public\0mood\0", b"O" + bytes(8) + b"origin\0", b"M\0" + bytes(8)):
        assert decoder.decode(message) is None


def test_knows_whether_a_transaction_is_open(decoder: Decoder) -> None:
    """Between begin and commit; the commit has its end, its time and its transaction's number."""
    assert not decoder.in_transaction
    decoder.decode(begin(xid=4_000_000_000))
    assert decoder.in_transaction
    expected = Commit(Position(5000), 946_684_801.5, 4_000_000_000, start=Position(4992))
    assert decoder.decode(commit(5000, 1_500_000)) == expected
    assert not decoder.in_transaction


def test_the_begin_of_a_transaction_far_ahead_says_that_all_before_it_has_come(
    decoder: Decoder,
) -> None:
    """Whoever waits for something in the log that it has written need not wait for its end."""
    for end, told in ((5000, False), (5008 + FAR_BYTES, True), (6000 + FAR_BYTES, False)):
        start = Position(end - 8)
        assert decoder.decode(begin(start)) == (Watermark(start) if told else None)
        assert isinstance(decoder.decode(commit(end)), Commit)


def test_reads_relations() -> None:
    """Names in any script, replica identity, and which columns are sent of old rows."""
    message = read_relation(
        relation(
            7, [("ключ", INT4, True), ("x", TEXT, False)], schema="Ä b", name='q"', identity="f"
        )
    )
    assert (message.oid, message.schema, message.name) == (7, "Ä b", 'q"')
    assert message.replica_identity == "f"
    assert [(column.name, column.in_key) for column in message.columns] == [
        ("ключ", True),
        ("x", False),
    ]
    assert read_relation(relation(7, [], schema="")).schema == "pg_catalog"


WHOLE = [
    relation(OID, STREAMED),
    insert(OID, b"1", None, b"abc", b"{}"),
    update(OID, row(b"1", None, b"abc", NOT_SENT), row(b"2", None, None, None)),
    update(OID, row(b"1", NOT_SENT, None, b"[1]")),
    delete(OID, row(b"1", b"x", b"abc", None), b"O"),
    truncate(OID, 2),
    begin(),
    commit(77),
]


@pytest.mark.parametrize("message", WHOLE, ids=lambda message: chr(message[0]))
def test_cut_or_lengthened_messages_are_refused(decoder: Decoder, message: bytes) -> None:
    """At every length but its own."""
    decoder.decode(message)
    for length in range(len(message)):
        with pytest.raises(ValueError):  # noqa: PT011 - any sentence will do
            decoder.decode(message[:length])
    with pytest.raises(ValueError):  # noqa: PT011 - any sentence will do
        decoder.decode(message + b"\0")


def test_values_are_not_in_the_error(decoder: Decoder) -> None:
    """Errors are logged, and rows are nobody's business there."""
    with pytest.raises(ValueError, match="'I' of") as caught:
        decoder.decode(insert(OID, b"1", None, b"secret", b"{}") + b"x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        insert(99, b"1"),
        truncate(99),
        b"",
        b"?",
        insert(OID, b"1", None, b"a"),
        insert(OID, b"1", None, b"a", b"{}", b"x"),
        b"I" + insert(OID, b"1", None, b"a", b"{}")[1:].replace(b"N", b"K", 1),
        delete(OID, row(b"1", None, None, None), b"N"),
        insert(OID, b"1", None, b"a", b"{}").replace(b"n", b"b"),
    ],
)
def test_impossible_messages_are_refused(decoder: Decoder, message: bytes) -> None:
    """Unknown tables and kinds, another number of columns, binary values."""
    with pytest.raises(ValueError):  # noqa: PT011 - any sentence will do
        decoder.decode(message)


FIELDS = st.one_of(st.none(), st.just(NOT_SENT), st.binary(max_size=30))


@given(st.lists(FIELDS, min_size=4, max_size=4), st.data())
@example([b"1", None, b"a", b"{}"], None)
def test_damage_never_passes_for_another_length(fields: list[Field], data: st.DataObject) -> None:
    """A changed byte gives an error or a row of as many values, never a hang."""
    decoder = Decoder(lambda message: TuplePlan(ITEM, (bytes,) * len(message.columns)))
    decoder.decode(relation(OID, STREAMED))
    message = bytearray(insert(OID, *fields))
    if data is not None:
        for _ in range(data.draw(st.integers(1, 4))):
            message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    outcome = outcome_of(decoder, bytes(message))
    if isinstance(outcome, Change) and outcome.new is not None:
        assert len(outcome.new) == 4


@given(st.binary(max_size=200))
def test_noise_is_an_error_or_nothing(noise: bytes) -> None:
    """Random bytes never raise anything but ValueError."""
    decoder = Decoder(plan_for)
    decoder.decode(relation(OID, STREAMED))
    outcome_of(decoder, noise)


@given(st.lists(FIELDS, min_size=4, max_size=4))
def test_any_row_comes_back(fields: list[Field]) -> None:
    """What is written into a message is what is read from it."""
    decoder = Decoder(lambda message: TuplePlan(ITEM, (bytes,) * len(message.columns)))
    decoder.decode(relation(OID, STREAMED))
    change = decoder.decode(insert(OID, *fields))
    assert isinstance(change, Change)
    expected = [
        b"null" if field is None else UNCHANGED if field == NOT_SENT else field for field in fields
    ]
    assert change.new == expected
    assert change.has_unchanged == (UNCHANGED in expected)


def outcome_of(decoder: Decoder, data: bytes) -> Event | list[Change] | None:
    """What it gives; None for an error."""
    try:
        return decoder.decode(data)
    except ValueError:
        return None
