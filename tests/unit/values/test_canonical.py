"""Canonical keys."""

from __future__ import annotations

import pytest

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.events import ColumnType
from cdc_daemon.values import canonical_key


@pytest.mark.parametrize(
    ("name", "equal"),
    [
        ("numeric", [b"1.5", b"1.50", b"1.500"]),
        ("numeric", [b"100", b"100.0"]),
        ("numeric", [b"0", b"0.00"]),
        ("float8", [b"0", b"-0"]),
        ("bpchar", [b'"a"', b'"a  "']),
        ("citext", [b'"Hotel"', b'"hOTEL"']),
        ("citext", ['"É"'.encode(), '"é"'.encode()]),
        ("interval", [b'"P1M"', b'"P30D"', b'"PT720H"']),
        ("interval", [b'"P1DT-0.5S"', b'"PT23H59M59.5S"']),
        ("jsonb", [b'{"a": 1.0}', b'{"a": 1.00}', b'{"a": 1}']),
    ],
)
def test_equal_values_have_one_form(name: str, equal: list[bytes]) -> None:
    """What PostgreSQL calls equal is the same key, whatever its text."""
    canonical = canonical_key(ColumnType(name))
    assert canonical is not None
    assert len({canonical(value) for value in equal}) == 1


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("numeric", b"10", b"1"),
        ("numeric", b"1.05", b"1.5"),
        ("bpchar", b'" a"', b'"a"'),
        ("jsonb", b'{"a": "1.0"}', b'{"a": "1.00"}'),
        ("interval", b'"P1M"', b'"P31D"'),
        ("interval", b'"infinity"', b'"-infinity"'),
    ],
)
def test_different_values_stay_apart(name: str, one: bytes, other: bytes) -> None:
    """A canonical form never makes one key of two."""
    canonical = canonical_key(ColumnType(name))
    assert canonical is not None
    assert canonical(one) != canonical(other)


def test_null_stays_null() -> None:
    """NULL has no canonical form of its own."""
    for name in ("numeric", "float8", "bpchar", "citext", "interval", "jsonb"):
        canonical = canonical_key(ColumnType(name))
        assert canonical is not None
        assert canonical(b"null") == b"null"


def test_most_types_need_none() -> None:
    """None where one value has one text: no call in the hot path."""
    for name in ("int4", "text", "uuid", "timestamptz", "bool", "inet"):
        assert canonical_key(ColumnType(name)) is None
    assert canonical_key(ColumnType("mood", "enum")) is None
    spans = ColumnType("int4range", "range", element=ColumnType("int4"))
    assert canonical_key(ColumnType("int4multirange", "multirange", element=spans)) is None


def test_a_range_of_numeric_drops_zeros() -> None:
    """`[1.0,2)` is `[1,2.00)`."""
    canonical = canonical_key(ColumnType("numrange", "range", element=ColumnType("numeric")))
    assert canonical is not None
    assert canonical(b'"[1.0,2)"') == canonical(b'"[1,2.00)"') == b'"[1,2)"'


@pytest.mark.parametrize("name", ["json", "point", "box", "hstore", "tsquery"])
def test_types_without_a_known_equality_are_refused(name: str) -> None:
    """Better an error than two forms of one key."""
    with pytest.raises(ConfigurationError, match="can't be a key"):
        canonical_key(ColumnType(name))
