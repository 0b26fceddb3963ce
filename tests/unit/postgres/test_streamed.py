"""The decoder of pgoutput, where transactions come in parts before they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_daemon.events import (
    Change,
    ChangeKind,
    Column,
    ColumnType,
    Commit,
    Event,
    Position,
    Relation,
    StreamAbort,
    StreamStart,
    StreamStop,
    Unreadable,
)
from connectors.postgres.pgoutput import Decoder
from connectors.postgres.rowplan import tuple_plan
from tests.unit.postgres.messages import (
    INT4,
    TEXT,
    begin,
    commit,
    delete,
    insert,
    of,
    relation,
    row,
    stream_abort,
    stream_commit,
    stream_start,
    stream_stop,
    truncate,
)

if TYPE_CHECKING:
    from connectors.postgres.tupleplan import RelationMessage, TuplePlan

COLUMNS = (
    Column("id", ColumnType("int4", oid=INT4), in_identity=True),
    Column("name", ColumnType("text", oid=TEXT)),
)
ITEM = Relation("public", "item", COLUMNS, ("id",))
OID = 16384
DESCRIBED = relation(OID, [("id", INT4, True), ("name", TEXT, False)])
MORE = relation(OID, [("id", INT4, True), ("new", TEXT, False), ("name", TEXT, False)])
RETYPED = relation(OID, [("id", TEXT, True), ("name", TEXT, False)])

Decoded = list[Event]


@pytest.fixture
def decoder() -> Decoder:
    """One that has been told nothing yet."""
    return Decoder(plan_for)


def plan_for(message: RelationMessage) -> TuplePlan | None:
    """Only `public.item` is mapped."""
    return tuple_plan(message, ITEM) if message.name == "item" else None


def feed(decoder: Decoder, *messages: bytes) -> Decoded:
    """All events that they give."""
    events: Decoded = []
    for message in messages:
        event = decoder.decode_part(message) if decoder.in_part else decoder.decode(message)
        if isinstance(event, list):
            events.extend(event)
        elif event is not None:
            events.append(event)
    return events


def inserted(number: int, name: bytes = b'"x"') -> Change:
    """What an insert becomes."""
    return Change(ITEM, ChangeKind.INSERT, [b"%d" % number, name])


def an_insert(number: int, name: bytes = b"x") -> bytes:
    """An insert."""
    return insert(OID, b"%d" % number, name)


def test_parts_of_two_transactions_come_in_turn(decoder: Decoder) -> None:
    """Each is told apart, with a whole transaction in between, and ends by its own commit."""
    events = feed(
        decoder,
        *(stream_start(7), of(7, DESCRIBED), of(7, an_insert(1)), stream_stop()),
        *(stream_start(8), of(8, DESCRIBED), of(8, an_insert(2)), stream_stop()),
        *(begin(xid=9), DESCRIBED, an_insert(3), commit(100)),
        *(stream_start(7), of(7, an_insert(4)), stream_stop()),
        *(stream_commit(8, 200, 1_500_000), stream_commit(7, 300)),
    )
    assert events == [
        *(StreamStart(7, 7), inserted(1), StreamStop()),
        *(StreamStart(8, 8), inserted(2), StreamStop()),
        *(inserted(3), Commit(Position(100), 946_684_800.0, 9, start=Position(92))),
        *(StreamStart(7, 7), inserted(4), StreamStop()),
        Commit(Position(200), 946_684_801.5, 8, start=Position(192)),
        Commit(Position(300), 946_684_800.0, 7, start=Position(292)),
    ]


def test_each_subtransaction_is_named_where_its_changes_begin(decoder: Decoder) -> None:
    """Also where one goes on after another; types, origins and messages name none."""
    events = feed(
        decoder,
        *(stream_start(7), b"O" + bytes(8) + b"elsewhere\0", of(8, DESCRIBED)),
        *(of(8, an_insert(1)), of(8, an_insert(2)), of(9, b"Y\0\0\0\1public\0mood\0")),
        *(of(9, b"M\0" + bytes(8)), of(9, truncate(OID)), of(7, delete(OID, row(b"1", None)))),
        *(stream_stop(), stream_abort(7, 8), stream_abort(7, 7)),
    )
    assert events == [
        *(StreamStart(7, 8), inserted(1), inserted(2)),
        *(StreamStart(7, 9), Change(ITEM, ChangeKind.TRUNCATE)),
        *(StreamStart(7, 7), Change(ITEM, ChangeKind.DELETE, None, [b"1", b"null"])),
        *(StreamStop(), StreamAbort(7, 8), StreamAbort(7, 7)),
    ]


def test_no_watermark_passes_within_a_part(decoder: Decoder) -> None:
    """Between parts it may: the commit is still to come, and lies behind it."""
    feed(decoder, stream_start(7))
    assert decoder.in_transaction
    feed(decoder, stream_stop())
    assert not decoder.in_transaction


def test_a_description_holds_for_its_transaction_until_that_commits(decoder: Decoder) -> None:
    """What an open transaction has altered is seen by itself, and then by all."""
    whole = (begin(), an_insert(1), commit(100))
    feed(decoder, DESCRIBED)
    altered = (stream_start(7), of(7, MORE), of(7, insert(OID, b"2", b"n", b"x")), stream_stop())
    assert inserted(2) in feed(decoder, *altered)
    assert inserted(1) in feed(decoder, *whole)
    feed(decoder, stream_commit(7, 200))
    assert inserted(3) in feed(decoder, begin(), insert(OID, b"3", b"n", b"x"), commit(300))


def test_a_description_of_what_was_rolled_back_is_forgotten(decoder: Decoder) -> None:
    """Others never see it."""
    feed(decoder, DESCRIBED, stream_start(7), of(7, MORE), stream_stop(), stream_abort(7, 7))
    assert inserted(1) in feed(decoder, begin(), an_insert(1), commit(100))


def test_of_two_descriptions_the_later_one_holds(decoder: Decoder) -> None:
    """A transaction that was described earlier and commits later takes nothing back."""
    feed(decoder, stream_start(7), of(7, MORE), stream_stop(), DESCRIBED, stream_commit(7, 100))
    assert inserted(1) in feed(decoder, begin(), an_insert(1), commit(200))


def test_a_part_that_retypes_a_column_is_a_misfit_to_itself_alone(decoder: Decoder) -> None:
    """A transaction that alters a mapped table and writes into it may be rolled back."""
    feed(decoder, DESCRIBED)
    altered = feed(decoder, stream_start(7), of(7, RETYPED), of(7, an_insert(1)), stream_stop())
    change = altered[1]
    assert isinstance(change, Change)
    assert (change.relation.stands_for, change.new) == (ITEM, [])
    assert "another type" in change.relation.misfit
    assert feed(decoder, stream_abort(7, 7)) == [StreamAbort(7, 7)]
    assert inserted(2) in feed(decoder, begin(), an_insert(2), commit(100))


def test_a_value_that_can_not_be_read_stays_a_matter_of_its_row(decoder: Decoder) -> None:
    """It is rejected by the projections that read it, as ever."""
    part = (stream_start(7), of(7, DESCRIBED), of(7, an_insert(1, b"\xff")), stream_stop())
    change = feed(decoder, *part)[1]
    assert isinstance(change, Change)
    assert change.new is not None
    assert isinstance(change.new[1], Unreadable)
    assert inserted(2) in feed(decoder, stream_start(7), of(7, an_insert(2)), stream_stop())


WHOLE = [stream_start(7), stream_commit(7, 100), stream_abort(7, 8)]


@pytest.mark.parametrize("message", WHOLE, ids=lambda message: chr(message[0]))
def test_cut_or_lengthened_messages_are_refused(message: bytes) -> None:
    """At every length but its own."""
    for damaged in [*(message[:length] for length in range(len(message))), message + b"\0"]:
        with pytest.raises(ValueError):  # noqa: PT011 - any sentence will do
            Decoder(plan_for).decode(damaged)


def test_damage_within_a_part_is_a_stop() -> None:
    """A row that is cut short, or a table that nobody has described."""
    with pytest.raises(ValueError, match="'E' of 2 bytes"):
        feed(Decoder(plan_for), stream_start(7), b"E\0")
    for damaged in (of(7, an_insert(1))[:-1], of(7, insert(99, b"1")), b"I\0"):
        part = (stream_start(7), of(7, DESCRIBED))
        with pytest.raises(ValueError, match="'I' of"):
            feed(Decoder(plan_for), *part, damaged)


steps = st.tuples(
    st.sampled_from(["part", "part", "whole", "commit", "abort"]),
    st.integers(1, 3),
    st.lists(st.integers(1, 3), max_size=4),
)


@given(st.lists(steps, max_size=30))
def test_any_order_of_parts_comes_back(history: list[tuple[str, int, list[int]]]) -> None:
    """Every change is between the start and the stop of the transaction that it was sent in."""
    decoder, sent, got = Decoder(plan_for), [], []
    feed(decoder, DESCRIBED)
    messages: list[bytes] = []
    for number, (kind, xid, subxids) in enumerate(history):
        if kind == "part":
            messages += [stream_start(xid), of(xid, DESCRIBED)]
            messages += [of(10 * xid + sub, an_insert(number)) for sub in subxids]
            messages.append(stream_stop())
            sent += [(xid, 10 * xid + sub, number) for sub in subxids]
        elif kind == "whole":
            messages += [begin(xid=xid), *(an_insert(number) for _ in subxids), commit(number)]
            sent += [(0, 0, number) for _ in subxids]
        else:
            end = stream_commit(xid, number) if kind == "commit" else stream_abort(xid, xid)
            messages.append(end)
    within = (0, 0)
    for event in feed(decoder, *messages):
        if isinstance(event, StreamStart):
            within = (event.xid, event.subxid)
        elif isinstance(event, StreamStop):
            within = (0, 0)
        elif isinstance(event, Change):
            assert event.new is not None
            got.append((*within, int(event.new[0])))  # type: ignore[arg-type]  # bytes
    assert got == sent
