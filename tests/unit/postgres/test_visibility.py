"""What a snapshot sees, also where transactions are numbered from the beginning again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.visibility import (
    SEES_ALL,
    ReplayedVisibility,
    SnapshotVisibility,
    read_replayed,
    read_snapshot,
)

EPOCH = 1 << 32


def test_reads_what_the_server_says() -> None:
    """Both bounds, and those that run."""
    assert read_snapshot("10:20:10,14") == SnapshotVisibility(10, 20, frozenset({10, 14}))
    assert read_snapshot("7:7:") == SnapshotVisibility(7, 7, frozenset())


@pytest.mark.parametrize("text", ["", "1:2", "1:2:3:4", "a:2:", "1:2:x"])
def test_anything_else_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError):  # noqa: PT011 - any sentence will do
        read_snapshot(text)


def test_sees_what_has_ended() -> None:
    """All below the lower bound, none from the upper one on, in between all but the running."""
    seen = read_snapshot("10:20:10,14")
    assert [xid for xid in range(3, 30) if not seen.sees(xid)] == [10, 14, *range(20, 30)]


def test_numbers_begin_again_above_the_snapshot() -> None:
    """A small number is later than a snapshot at the end of an epoch, a large one earlier."""
    seen = read_snapshot(f"{EPOCH - 5}:{EPOCH - 2}:{EPOCH - 4}")
    assert seen.sees(EPOCH - 5)
    assert not seen.sees(EPOCH - 4)
    assert seen.sees(EPOCH - 3)
    assert not seen.sees(EPOCH - 2)
    assert not seen.sees(3)
    assert not seen.sees(1000)


def test_numbers_begin_again_below_the_snapshot() -> None:
    """A large number is earlier than a snapshot at the beginning of an epoch."""
    seen = read_snapshot(f"{3 * EPOCH - 5}:{3 * EPOCH + 4}:{3 * EPOCH - 5},{3 * EPOCH + 3}")
    assert seen.sees(EPOCH - 6)
    assert not seen.sees(EPOCH - 5)
    assert seen.sees(EPOCH - 4)
    assert not seen.sees(3)
    assert not seen.sees(4)


@pytest.mark.parametrize(
    ("newer", "older", "included"),
    [
        ("7:7:", "7:7:", True),
        ("7:9:7,8", "7:9:7,8", True),
        ("7:9:7", "7:9:7,8", True),
        ("7:9:7,8", "7:9:7", False),
        ("5:20:5", "5:9:5", True),
        ("5:20:5", "7:9:", False),
        ("5:20:5,8", "7:9:", False),
        ("7:8:7", "9:9:", False),
        ("7:7:", "8:9:8", False),  # 7 is running, and the last that ended is 6
        ("7:7:", "7:9:7,8", True),
    ],
)
def test_includes_what_another_sees(newer: str, older: str, *, included: bool) -> None:
    """Nothing that the other sees may be running, or later than all that has ended."""
    assert read_snapshot(newer).includes(read_snapshot(older)) is included


@given(
    st.integers(EPOCH, 100 * EPOCH),
    st.integers(0, 1000),
    st.sets(st.integers(1, 999)),
    st.integers(1 - EPOCH // 2, EPOCH // 2 - 1),
)
def test_half_an_epoch_is_told_apart(
    xmax: int, width: int, running: set[int], distance: int
) -> None:
    """A number of 32 bits means the transaction that is nearest, wherever an epoch begins."""
    seen = SnapshotVisibility(xmax - width, xmax, frozenset(xmax - each for each in running))
    xid = xmax + distance
    expected = xid < xmax - width or (xid < xmax and xmax - xid not in running)
    assert seen.sees(xid % EPOCH) is expected


def test_a_standby_sees_what_it_has_replayed() -> None:
    """By the positions of commits; what was stored of it is read again."""
    seen = ReplayedVisibility(100)
    assert [position for position in (99, 100, 101) if seen.sees(position)] == [99, 100]
    assert read_replayed(str(seen)) == seen
    assert read_replayed("5:9:5") is None
    assert SEES_ALL.sees(1 << 63)
