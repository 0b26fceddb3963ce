"""Where a timeline was left, by the history file of a later one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.lsn import format_lsn, parse_lsn
from connectors.postgres.timelines import Timeline, places_left, read_timeline

HISTORY = """\
1\t0/3000148\tno recovery target specified

2\t16/B374D848\tbefore 2026-11-25 12:00:00+00
# a comment
11\tFFFFFFFF/FFFFFFFF\tno recovery target specified
"""


@pytest.mark.parametrize(
    ("number", "place"),
    [(1, 0x3000148), (2, 0x16B374D848), (11, 2**64 - 1), (3, None), (12, None)],
)
def test_each_ancestor_was_left_somewhere(number: int, place: int | None) -> None:
    """And a timeline that is none has no such place."""
    assert places_left(HISTORY).get(number) == place
    assert places_left("") == {}


@given(st.text("0123456789", min_size=1), st.integers(1, 2**32 - 1))
def test_a_timeline_is_its_text(system: str, number: int) -> None:
    """Which the checkpoint keeps."""
    assert read_timeline(str(Timeline(system, number))) == (system, number)


@given(st.integers(0, 2**64 - 1))
def test_positions_are_numbers_of_64_bits(position: int) -> None:
    """Also where a half of their text has all its bits set."""
    assert parse_lsn(format_lsn(position)) == position
