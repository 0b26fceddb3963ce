"""Rows as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.events import UNCHANGED, Special, Unreadable
from cdc_daemon.state.rows import filled, is_incomplete, is_odd, pack_odd, unpack, value_at
from cdc_daemon.values.special import special

if TYPE_CHECKING:
    from cdc_daemon.events import Row

NAN = special(b"null", b'"NaN"')
HIDDEN = Unreadable("not_utf8", "a text value is not UTF-8", None)
SHOWN = Unreadable("not_utf8", "a text value is not UTF-8", b"\0\xff\0")
ROWS: list[Row] = [
    [b"1"],
    [b"null", b'""', b'"a"', b"12.50"],
    [b'"%b"' % (b"x" * 70_000), b"null", b"2"],
    [b"1", NAN, b"null", UNCHANGED, HIDDEN, SHOWN],
    [UNCHANGED, b'"%b"' % (b"x" * 70_000)],
]


@pytest.mark.parametrize("row", ROWS)
def test_every_value_comes_back(row: Row) -> None:
    """All together and by its place, long rows and values that are no JSON included."""
    packed = pack_odd(row)
    assert unpack(packed) == row
    assert [value_at(packed, place) for place in range(len(row))] == row
    assert is_odd(packed) == any(type(value) is not bytes for value in row)


def test_a_special_value_keeps_its_exact_text() -> None:
    """NaN is null in JSON, and still NaN."""
    value = value_at(pack_odd([b"1", NAN]), 1)
    assert isinstance(value, Special)
    assert (value, value.exact) == (b"null", b'"NaN"')


def test_values_that_were_not_sent_are_filled_from_the_kept_row() -> None:
    """As far as the kept row has them itself."""
    new = pack_odd([b"2", UNCHANGED, UNCHANGED])
    assert is_incomplete(new)
    assert unpack(filled(new, pack_odd([b"1", b'"a"', b'"b"']))) == [b"2", b'"a"', b'"b"']
    assert unpack(filled(new, pack_odd([b"1", UNCHANGED, b'"b"']))) == [b"2", UNCHANGED, b'"b"']
    assert filled(new, None) == new
    assert not is_incomplete(filled(new, pack_odd([b"1", b'"a"', b'"b"'])))
