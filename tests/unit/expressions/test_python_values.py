"""JSON text to Python values and back."""

from __future__ import annotations

import datetime as dt
import random

import pytest

from cdc_daemon.events import ColumnType
from cdc_daemon.values import python as values
from cdc_daemon.values.civil_time import civil_from_days, days_from_civil


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int8", b"-9223372036854775808"),
        ("numeric", b"123456789012345678901234567890.1200"),
        ("numeric", b"0.00"),
        ("float8", b"0.1"),
        ("float8", b"-0"),
        ("float8", b"1e+300"),
        ("float8", b"4.7889875000000004e+19"),
        ("float4", b"3.4e+38"),
        ("float4", b"1.234567e+06"),
        ("bool", b"false"),
        ("text", b'"a\\"b\\n"'),
        ("uuid", b'"0b7ae9a4-5bc4-4a42-9a04-8f4e1f7d3c11"'),
        ("bytea", b'"\\\\x00ff"'),
        ("date", b'"0044-03-15 BC"'),
        ("date", b'"5874897-12-31"'),
        ("date", b'"infinity"'),
        ("timestamp", b'"2020-01-01T00:00:00.5"'),
        ("timestamptz", b'"4714-11-24T00:00:00+00:00 BC"'),
        ("timestamptz", b'"294276-12-31T23:59:59.999999+00:00"'),
        ("timestamp", b'"-infinity"'),
        ("time", b'"24:00:00"'),
        ("interval", b'"P-1Y-2M3DT-4H-5M-6.789S"'),
        ("interval", b'"PT0S"'),
        ("jsonb", b'{"a": [1.50, null]}'),
    ],
)
def test_decode_and_encode_return_the_same_text(kind: str, text: bytes) -> None:
    """Nothing of a value is lost on the way through Python."""
    decode, encode = values.decoder(ColumnType(kind)), values.encoder(ColumnType(kind))
    assert decode is not None
    assert encode is not None
    assert encode(decode(text)) == text


def test_array_keeps_nulls_and_dimensions() -> None:
    """An array is a list of lists of its elements, None for NULL."""
    array = ColumnType("_numeric", "array", element=ColumnType("numeric"))
    decode, encode = values.decoder(array), values.encoder(array)
    assert decode is not None
    assert encode is not None
    assert encode(decode(b"[[1.50, null], [2, 3.0]]")) == b"[[1.50, null], [2, 3.0]]"


def test_unknown_type_has_no_decoder() -> None:
    """A type we know nothing of can pass through a row but not be looked into."""
    assert values.decoder(ColumnType("polygon")) is None


def test_calendar_agrees_with_python() -> None:
    """Day numbers and civil dates convert both ways as Python's own calendar does."""
    origin = dt.date(2000, 1, 1).toordinal()
    rng = random.Random(3)
    for ordinal in (rng.randint(1, dt.date.max.toordinal()) for _ in range(2000)):
        day = dt.date.fromordinal(ordinal)
        assert days_from_civil(day.year, day.month, day.day) == ordinal - origin
        assert civil_from_days(ordinal - origin) == (day.year, day.month, day.day)
