"""The ordered log: what is encoded comes out again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_daemon.events import (
    NOWHERE,
    UNCHANGED,
    Change,
    ChangeKind,
    Column,
    ColumnType,
    Commit,
    Position,
    Relation,
    Special,
    Unreadable,
    Watermark,
)
from connectors.relay.decoding import LogDecoder, RowPlan
from connectors.relay.log import LogEncoder, LogHead, carried_on, layout_of, read_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Event, Row
    from connectors.relay.log import Layout

HEAD = LogHead("7412345678901234567/1", {"public.a": "1", 'public."\x1e\x1d': "2"})
TEXT = ColumnType("text", oid=25, declared="text")


def relation(name: str, *columns: str) -> Relation:
    """A table of texts."""
    return Relation("public", name, tuple(Column(each, TEXT) for each in columns), order=columns)


TABLES = [relation("a", "id", "note"), relation("b", "id"), relation("c", "x", "y", "z")]
MISFIT = replace(TABLES[0], columns=(), stands_for=TABLES[0], misfit="it has\x1echanged")


def special(text: bytes, exact: bytes) -> Special:
    """Such a value."""
    made = Special(text)
    made.exact = exact
    return made


@dataclass
class Everything:
    """Reads every table as it is in the log."""

    heads: list[LogHead] = field(default_factory=list)
    layouts: list[Layout] = field(default_factory=list)

    def heard(self, head: LogHead) -> None:
        """Notes it."""
        self.heads.append(head)

    def plan_for(self, layout: Layout) -> RowPlan | None:
        """The relation that was encoded."""
        self.layouts.append(layout)
        if layout.misfit:
            return RowPlan(MISFIT, ())
        found = next(table for table in TABLES if table.name == layout.name)
        return RowPlan(found, tuple(range(len(layout.columns))))


plain = st.sampled_from([b"null", b"12", b'"a"', b"[1,\n\t2.50]\r", '"é\u2028"'.encode()])
words = st.sampled_from(["", "a\x1e\x1f", "é"])
marked = st.one_of(
    plain,
    st.just(UNCHANGED),
    st.just(special(b"null", b'"NaN"')),
    st.builds(Unreadable, words, words, st.one_of(st.none(), st.binary(max_size=20))),
)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Any change of any of the tables, or of one that is a misfit."""
    table = draw(st.sampled_from([*TABLES, MISFIT]))
    kind = draw(st.sampled_from(list(ChangeKind)))
    with_marks = draw(st.booleans())
    values = marked if with_marks else plain
    row = st.lists(values, min_size=len(table.columns), max_size=len(table.columns))
    new = draw(row) if kind in {ChangeKind.INSERT, ChangeKind.UPDATE} else None
    has_old = kind is ChangeKind.DELETE or (kind is ChangeKind.UPDATE and draw(st.booleans()))
    return Change(table, kind, new, draw(row) if has_old else None, with_marks)


transactions = st.lists(
    st.tuples(
        st.lists(changes(), max_size=6),
        st.integers(0, 2**64 - 1),
        st.floats(0, 4e9),
        st.sampled_from(["", "00-abc-def-01"]),
    ),
    max_size=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(transactions, st.integers(1, 80))
def test_what_is_encoded_comes_out_again(
    some: list[tuple[list[Change], int, float, str]], part_bytes: int
) -> None:
    """Every change and every commit, in the same order, whatever the size of a message."""
    encoder = LogEncoder(HEAD, NOWHERE, part_bytes)
    messages, expected, position = [], [], 0
    for made, xid, time, trace in some:
        position += 8
        commit = Commit(Position(position), time, xid, trace)
        for change in made:
            messages += encoder.change(change)
        messages.append(encoder.commit(commit))
        expected += [*made, commit if made else Watermark(commit.position)]
    reader = Everything()
    assert shown(decoded(reader, messages)) == shown(expected)
    assert reader.heads == ([HEAD] if messages else [])


def decoded(reader: Everything, messages: Sequence[bytes]) -> list[Event]:
    """Everything that they say."""
    decoder = LogDecoder(reader)
    return [event for message in messages for event in decoder.decode(message)]


def shown(events: Sequence[Event]) -> list[object]:
    """What can be compared."""
    return [
        (event.relation, event.kind, row(event.new), row(event.old), event.has_unchanged)
        if isinstance(event, Change)
        else event
        for event in events
    ]


def row(values: Row | None) -> list[object] | None:
    """With both texts of what is special."""
    if values is None:
        return None
    return [(v, v.exact) if isinstance(v, Special) else v for v in values]


def test_a_reader_takes_the_columns_that_it_wants() -> None:
    """In its own order; what wasn't there yet is null, and tables of nobody are left out."""
    wanted = relation("a", "note", "later")
    encoder = LogEncoder(HEAD, NOWHERE)
    for change in (
        Change(TABLES[0], ChangeKind.INSERT, [b"1", b'"x"']),
        Change(TABLES[1], ChangeKind.INSERT, [b"2"]),
        Change(TABLES[0], ChangeKind.UPDATE, [b"3", UNCHANGED], [b"1", b"null"], True),  # noqa: FBT003 - of its type
    ):
        assert encoder.change(change) == []

    class OneTable(Everything):
        def plan_for(self, layout: Layout) -> RowPlan | None:
            return RowPlan(wanted, (1,), 1) if layout.name == "a" else None

    message = encoder.commit(Commit(Position(8), 1.5, 7))
    insert, update, commit = decoded(OneTable(), [message])
    assert shown([insert, update]) == [
        (wanted, ChangeKind.INSERT, [b'"x"', b"null"], None, False),
        (wanted, ChangeKind.UPDATE, [UNCHANGED, b"null"], [b"null", b"null"], True),
    ]
    assert commit == Commit(Position(8), 1.5, 7)


def test_a_transaction_of_others_is_a_watermark() -> None:
    """The stream has come so far, and nothing is to be done."""

    class Nobody(Everything):
        def plan_for(self, layout: Layout) -> RowPlan | None:  # noqa: ARG002 - none
            return None

    encoder = LogEncoder(HEAD, NOWHERE)
    encoder.change(Change(TABLES[1], ChangeKind.INSERT, [b"2"]))
    message = encoder.commit(Commit(Position(8), 1.5))
    assert decoded(Nobody(), [message, encoder.watermark(Position(16))]) == [
        Watermark(Position(8)),
        Watermark(Position(16)),
    ]


def test_each_message_says_its_place() -> None:
    """Parts lie between two commits, so that positions grow with the messages."""
    encoder = LogEncoder(HEAD, Position(100), 4)
    change = Change(TABLES[1], ChangeKind.INSERT, [b'"longer"'])
    messages = [*encoder.change(change), *encoder.change(change)]
    messages.append(encoder.commit(Commit(Position(200), 1.5, 7)))
    places = [read_place(message) for message in messages]
    assert [head for head, _ in places] == [HEAD] * len(messages)
    assert [(at.part, at.position) for _, at in places] == [
        *((part, 101) for part in range(len(messages) - 1)),
        (len(messages) - 1, 200),
    ]
    assert {at.after for _, at in places} == {100}


def test_a_part_that_is_missing_is_noticed() -> None:
    """A transaction isn't given with a hole in it."""
    encoder = LogEncoder(HEAD, Position(100), 4)
    change = Change(TABLES[1], ChangeKind.INSERT, [b"1"])
    parts = [part for _ in range(5) for part in encoder.change(change)]
    assert len(parts) > 2
    with pytest.raises(ValueError, match=r"part 2 .* where part 1 of the one after 100 should"):
        decoded(Everything(), [parts[0], parts[2]])


def test_what_is_no_message_is_refused() -> None:
    """Without showing what it holds."""
    with pytest.raises(ValueError, match="no message of an ordered log, of 5 bytes"):
        read_place(b"hello")
    message = LogEncoder(HEAD, NOWHERE).watermark(Position(8))
    with pytest.raises(ValueError, match="has format 9, and this daemon reads format 1"):
        read_place(message.replace(b'"format":1', b'"format":9'))


def test_layouts_say_what_the_relay_knew() -> None:
    """Of a misfit: the table that it stands for, and why there are no values."""
    layout = layout_of(MISFIT)
    assert (layout.name, layout.columns, layout.misfit) == ("a", (), MISFIT.misfit)
    (column, *_) = layout_of(TABLES[0]).columns
    assert (column.name, column.type, column.declared) == ("id", 25, "text")


def test_a_relay_says_since_when_it_has_each_table() -> None:
    """Tables that belong as before go on; others begin where the relay does."""
    first = carried_on(None, {"public.a": "x", "public.b": "y"}, Position(100))
    head = LogHead("1/1", first)
    later = carried_on(head, {"public.a": "x", "public.b": "z", "public.c": "y"}, Position(200))
    assert later["public.a"] == first["public.a"]
    assert later["public.b"] != first["public.b"]
    assert set(later) == {"public.a", "public.b", "public.c"}
    assert carried_on(None, {"public.a": "x"}, Position(200)) != {"public.a": first["public.a"]}
