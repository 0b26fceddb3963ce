"""Values that can't become JSON: the row comes with `Unreadable`, and the stream goes on."""

from __future__ import annotations

import pytest

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import Change, Column, ColumnType, Relation, Unreadable
from connectors.postgres.copytext import read_line
from connectors.postgres.pgoutput import Decoder
from connectors.postgres.rowplan import column_plans, tuple_plan
from connectors.postgres.tupleplan import tolerant
from tests.unit.postgres.messages import INT4, TEXT, delete, insert, relation, row, update

PAIR = ColumnType("pair", kind="composite", attributes=(("a", ColumnType("int4")),), oid=99999)
COLUMNS = (
    Column("id", ColumnType("int4", oid=INT4), in_identity=True),
    Column("name", ColumnType("text", oid=TEXT)),
    Column("pair", PAIR),
)
ITEM = Relation("public", "item", COLUMNS, ("id",))
BROKEN = Unreadable("not_utf8", "a text value is not UTF-8: invalid start byte", b"\xff")


@pytest.fixture
def decoder() -> Decoder:
    """One that knows the table."""
    made = Decoder(lambda message: tuple_plan(message, ITEM))
    made.decode(relation(7, [("id", INT4, True), ("name", TEXT, False), ("pair", 99999, False)]))
    return made


def decode(decoder: Decoder, message: bytes) -> Change:
    """The change of one message."""
    change = decoder.decode(message)
    assert isinstance(change, Change)
    return change


def test_the_other_values_of_the_row_come(decoder: Decoder) -> None:
    """The change is marked, and the next good row is decoded as ever."""
    change = decode(decoder, insert(7, b"1", b"\xff", b"(5)"))
    assert change.new == [b"1", BROKEN, b'{"a":5}']
    assert change.has_unchanged
    good = decode(decoder, insert(7, b"2", b"x", b"(5)"))
    assert (good.new, good.has_unchanged) == ([b"2", b'"x"', b'{"a":5}'], False)


def test_old_rows_may_be_unreadable_too(decoder: Decoder) -> None:
    """In an update and in a delete."""
    new, old = row(b"1", b"x", b"(5)"), row(b"1", b"\xff", b"(5)")
    change = decode(decoder, update(7, new, old))
    assert change.old == [b"1", BROKEN, b'{"a":5}']
    assert change.has_unchanged
    gone = decode(decoder, delete(7, old))
    assert gone.old == [b"1", BROKEN, b'{"a":5}']
    assert gone.has_unchanged


def test_a_type_that_has_changed_is_no_matter_of_one_row(decoder: Decoder) -> None:
    """All rows would be dead letters: compiling anew mends it, so the table is a misfit."""
    for name in (b"x", b"\xff"):
        change = decode(decoder, insert(7, b"1", name, b"(5,6)"))
        assert "attributes" in change.relation.misfit
    assert decode(decoder, insert(7, b"2", b"x", b"(5)")).new == [b"2", b'"x"', b'{"a":5}']


def test_a_line_of_copy_is_read_tolerantly() -> None:
    """Existing rows take the same plans."""
    plans = column_plans(COLUMNS)
    with pytest.raises(RejectedError):
        read_line(b"1\t\xff\t(5)\n", plans)
    assert read_line(b"1\t\xff\t(5)\n", tolerant(plans)) == [b"1", BROKEN, b'{"a":5}']
