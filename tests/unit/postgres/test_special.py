"""Special values in the stream: their rows come marked, the others as ever."""

from __future__ import annotations

import pytest

from cdc_daemon.events import Change, Column, ColumnType, Relation, Row, Special
from connectors.postgres.copytext import read_line
from connectors.postgres.pgoutput import Decoder
from connectors.postgres.rowplan import column_plans, tuple_plan, unknown_columns
from connectors.postgres.tupleplan import tolerant
from tests.unit.postgres.messages import INT4, delete, insert, relation, row, update

DATE, NUMERIC = 1082, 1700
COLUMNS = (
    Column("id", ColumnType("int4", oid=INT4), in_identity=True),
    Column("day", ColumnType("date", oid=DATE)),
    Column("price", ColumnType("numeric", oid=NUMERIC)),
)
ITEM = Relation("public", "item", COLUMNS, ("id",))
DESCRIBED = relation(7, [("id", INT4, True), ("day", DATE, False), ("price", NUMERIC, False)])


@pytest.fixture
def decoder() -> Decoder:
    """One that knows the table."""
    made = Decoder(lambda message: tuple_plan(message, ITEM))
    made.decode(DESCRIBED)
    return made


def decode(decoder: Decoder, message: bytes) -> Change:
    """The change of one message."""
    change = decoder.decode(message)
    assert isinstance(change, Change)
    return change


def special(values: Row | None) -> list[bytes | None]:
    """The exact text of each special value."""
    return [value.exact if isinstance(value, Special) else None for value in values or ()]


def test_a_row_with_a_special_value_is_marked(decoder: Decoder) -> None:
    """Its other values, and the next row, come as ever; again after the table is described anew."""
    for _ in range(2):
        change = decode(decoder, insert(7, b"1", b"infinity", b"NaN"))
        assert change.new == [b"1", b'"infinity"', b"null"]
        assert special(change.new) == [None, b'"infinity"', b'"NaN"']
        assert change.has_unchanged
        good = decode(decoder, insert(7, b"2", b"2024-02-29", b"1.50"))
        assert (good.new, good.has_unchanged) == ([b"2", b'"2024-02-29"', b"1.50"], False)
        decoder.decode(DESCRIBED)


def test_old_rows_may_hold_special_values_too(decoder: Decoder) -> None:
    """In an update and in a delete."""
    old = row(b"1", b"0044-03-15 BC", b"1")
    change = decode(decoder, update(7, row(b"1", b"2024-02-29", b"1"), old))
    assert special(change.old) == [None, b'"0044-03-15 BC"', None]
    assert change.has_unchanged
    assert special(decode(decoder, delete(7, old)).old) == [None, b'"0044-03-15 BC"', None]


def test_copied_rows_hold_them_by_tolerant_plans() -> None:
    """As the stream does."""
    values = read_line(b"1\t12024-01-01\tInfinity\n", tolerant(column_plans(COLUMNS)))
    assert special(values) == [None, b'"12024-01-01"', b'"Infinity"']


def test_columns_of_unknown_types_are_listed() -> None:
    """With table, column and type, for a warning at the start."""
    column = Column("area", ColumnType("geometry"))
    strange = Relation("public", "site", (*COLUMNS, column), ("id",))
    assert list(unknown_columns([strange, ITEM])) == [("public.site", "area", ["geometry"])]
