"""The decoder of COPY's text format: golden lines, any value, damaged lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.copytext import read_line
from connectors.postgres.tupleplan import PASS

ESCAPES = {
    b"\\": b"\\\\", b"\b": b"\\b", b"\f": b"\\f", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t",
    b"\v": b"\\v",
}  # fmt: skip


def written(*fields: bytes | None) -> bytes:
    """A line as COPY TO writes it."""
    return b"\t".join(b"\\N" if field is None else _escaped(field) for field in fields) + b"\n"


def _escaped(field: bytes) -> bytes:
    return b"".join(ESCAPES.get(bytes([byte]), bytes([byte])) for byte in field)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (b"1\ta\n", [b"1", b"a"]),
        (b"\\N\t\n", [b"null", b""]),
        (b"\\\\N\tN\n", [b"\\N", b"N"]),
        (b"a\\tb\\nc\\\\\t\\r\\b\\f\\v\n", [b"a\tb\nc\\", b"\r\b\f\v"]),
        (b"\\\\.\tx\n", [b"\\.", b"x"]),
        (b"\xc3\xa9\\\\\\\\\t\\\\t\n", [b"\xc3\xa9\\\\", b"\\t"]),
    ],
)
def test_golden_lines(line: bytes, row: list[bytes]) -> None:
    r"""NULL is told from the text \N, every escape is undone once."""
    assert read_line(line, (PASS, bytes)) == row


@given(st.lists(st.none() | st.binary(max_size=40), min_size=1, max_size=5))
def test_any_row_comes_back(fields: list[bytes | None]) -> None:
    """Whatever bytes the values have."""
    expected = [b"null" if field is None else field for field in fields]
    assert read_line(written(*fields), (bytes,) * len(fields)) == expected


def test_values_are_converted() -> None:
    """By their column's plan; NULL is not."""
    assert read_line(b"ab\t\\N\n", (bytes.upper, bytes.upper)) == [b"AB", b"null"]


def test_a_row_without_columns() -> None:
    """An empty line."""
    assert read_line(b"\n", ()) == []


@pytest.mark.parametrize("line", [b"", b"1\ta", b"1\n", b"1\ta\tb\n"])
def test_damaged_lines_are_refused(line: bytes) -> None:
    """Cut short, or with another number of fields."""
    with pytest.raises(ValueError):  # noqa: PT011 - any sentence will do
        read_line(line, (PASS, PASS))
