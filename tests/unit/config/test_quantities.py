"""Durations and sizes: what can be written, and that it is shown the same way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_daemon.quantities import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    byte_count,
    duration_text,
    seconds,
    size_text,
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("200ms", 0.2),
        ("1s", 1.0),
        ("5m", 300.0),
        ("1.5h", 5400.0),
        ("2 d", 172800.0),
        ("0", 0.0),
        (0, 0.0),
        (2.5, 2.5),
        ("10", 10.0),
    ],
)
def test_durations(written: object, expected: float) -> None:
    """Units, fractions and plain seconds are understood."""
    assert seconds(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("64MB", 64_000_000),
        ("1GiB", 2**30),
        ("512kB", 512_000),
        ("512KB", 512_000),
        ("1.5 MiB", 3 * 2**19),
        ("7B", 7),
        ("7", 7),
        (7, 7),
        ("2M", 2_000_000),
    ],
)
def test_sizes(written: object, expected: int) -> None:
    """Units of 1000 and of 1024, fractions and plain bytes are understood."""
    assert byte_count(written) == expected


@pytest.mark.parametrize(
    "written", ["", "fast", "1 second", "-1s", -1, True, None, [], float("inf"), 10**400, "1s s"]
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    """The message has examples of what is expected."""
    with pytest.raises(ValueError, match="expected a duration such as 200ms"):
        seconds(written)


@pytest.mark.parametrize("written", ["", "big", "1 mb", "-1MB", 0, 0.5, False, None, "1XB", {}])
def test_what_is_no_size_is_refused(written: object) -> None:
    """The message has examples of what is expected."""
    with pytest.raises(ValueError, match="expected a size such as 512kB"):
        byte_count(written)


@given(st.integers(0, 10**9))
def test_a_shown_duration_reads_the_same(milliseconds: int) -> None:
    """Text of a duration is a duration again, the same to the microsecond."""
    shown = duration_text(milliseconds / 1000)
    assert re.search(DURATION_PATTERN, shown)
    assert seconds(shown) == pytest.approx(milliseconds / 1000, abs=1e-6)


@given(st.integers(1, 2**60))
def test_a_shown_size_reads_the_same(count: int) -> None:
    """Text of a size is that very size again."""
    shown = size_text(count)
    assert re.search(SIZE_PATTERN, shown)
    assert byte_count(shown) == count
