"""Values that somebody gives as JSON: also what they can't be, which no server says."""

from __future__ import annotations

import pytest

from cdc_daemon.events import ColumnType
from cdc_daemon.values import GivenError, read_json, source_text

NUMERIC_5_2 = ColumnType("numeric", modifier=(5 << 16) + 2 + 4)
CHAR_3 = ColumnType("bpchar", modifier=3 + 4)
KINDS = ColumnType("kind", "enum", labels=("a", "b"))


def plain(name: str) -> ColumnType:
    """A base type."""
    return ColumnType(name)


@pytest.mark.parametrize(
    ("type_", "given", "text"),
    [
        (NUMERIC_5_2, b"1.5", b"1.50"),
        (NUMERIC_5_2, b'"999.990"', b"999.99"),
        (NUMERIC_5_2, b"-0", b"0.00"),
        (plain("numeric"), b"1e3", b"1000"),
        (plain("numeric"), b"1.500", b"1.500"),
        (CHAR_3, '"é"'.encode(), "é  ".encode()),
        (plain("float8"), b"0.1", b"0.1"),
        (plain("float8"), b'"-Infinity"', b"-Infinity"),
        (plain("timestamptz"), b'"2026-05-01T12:00:00.50+02:00"', b"2026-05-01 10:00:00.5+00"),
        (plain("timestamp"), b'"2026-05-01T12:00"', b"2026-05-01 12:00:00"),
        (plain("uuid"), b'"%b"' % (b"A0EE" * 8), b"a0eea0ee-a0ee-a0ee-a0ee-a0eea0eea0ee"),
        (plain("jsonb"), b'{"bb": 1.0, "a": [1e2, null]}', b'{"a": [100, null], "bb": 1.0}'),
        (plain("bytea"), b'"\\\\x00FF"', b"\\x00ff"),
        (KINDS, b'"a"', b"a"),
        (ColumnType("_text", "array", element=plain("text")), b'["a\\"", null]', b'{"a\\"",NULL}'),
    ],
)  # fmt: skip
def test_a_value_becomes_the_text_of_its_type(type_: ColumnType, given: bytes, text: bytes) -> None:
    """Whichever way it is written."""
    assert source_text(type_, read_json(given)) == text


@pytest.mark.parametrize(
    ("type_", "given"),
    [
        (plain("int4"), b"2147483648"),
        (plain("int4"), b"1.0"),
        (plain("int4"), b'"1"'),
        (plain("int8"), b"1" * 5000),
        (NUMERIC_5_2, b"1000"),
        (NUMERIC_5_2, b"0.125"),
        (plain("numeric"), b"1e999999"),
        (plain("numeric"), b"1e99999999999999999999999999"),
        (plain("float4"), b"1e39"),
        (plain("float8"), b"1e309"),
        (plain("bool"), b"1"),
        (plain("text"), b"1"),
        (plain("text"), b'"\\u0000"'),
        (plain("text"), b'"\\ud800"'),
        (CHAR_3, b'"abcd"'),
        (plain("date"), b'"2026-02-30"'),
        (plain("timestamptz"), b'"2026-05-01T12:00:00"'),
        (plain("timestamp"), b'"2026-05-01T12:00:00Z"'),
        (plain("uuid"), b'"1"'),
        (plain("inet"), b'"10.0.0.1\\""'),
        (plain("bytea"), b'"abc"'),
        (KINDS, b'"c"'),
        (ColumnType("_int4", "array", element=plain("int4")), b"1"),
        (ColumnType("_int4", "array", element=plain("int4")), b'["a"]'),
        (ColumnType("pair", "composite", attributes=(("a", plain("int4")),)), b'{"b": 1}'),
    ],
)
def test_what_is_none_of_its_type_is_refused(type_: ColumnType, given: bytes) -> None:
    """With what was expected; nothing is rounded, cut or guessed."""
    with pytest.raises(GivenError):
        source_text(type_, read_json(given))


def test_json_that_nobody_writes_is_refused() -> None:
    """Not a number, and brackets without end."""
    with pytest.raises(ValueError, match="as a string"):
        read_json(b"[NaN]")
    with pytest.raises(ValueError, match="too deep"):
        read_json(b"[" * 100_000)
