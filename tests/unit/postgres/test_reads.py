from __future__ import annotations

from connectors.postgres.reads import MOST_NUMBERS, Reads, ReadVisibility
from connectors.postgres.visibility import read_snapshot


def seen_by(snapshot: str, reads: Reads) -> ReadVisibility:
    """What that snapshot says of these reads."""
    return ReadVisibility(read_snapshot(snapshot), reads)


def test_a_snapshot_sees_a_read_that_saw_no_more() -> None:
    """The same one, and those before it; not one that saw a commit that it doesn't see."""
    reads = Reads()
    first, second = (reads.add(read_snapshot(text)) for text in ("10:15:12", "10:20:12"))
    assert seen_by("10:15:12", reads).sees(first)
    assert not seen_by("10:15:12", reads).sees(second)
    assert seen_by("16:16:", reads).sees(first)
    assert not seen_by("16:16:", reads).sees(second)
    assert seen_by("10:25:12", reads).sees(second)
    assert not seen_by("10:25:12,18", reads).sees(second)


def test_a_read_that_nobody_made_is_seen_by_nobody() -> None:
    """What isn't known counts as newer."""
    reads = Reads()
    assert not seen_by("10:15:12", reads).sees(1)
    reads.add(read_snapshot("10:15:12"))
    assert not seen_by("10:15:12", reads).sees(2)


def test_of_reads_long_ago_the_oldest_known_one_answers() -> None:
    """It saw all that they saw, so whoever sees it sees them."""
    reads = Reads()
    for _ in range(MOST_NUMBERS // 10):
        reads.add(read_snapshot("10:15:12"))
    reads.add(read_snapshot("20:20:"))
    assert seen_by("20:20:", reads).sees(1)
    assert not seen_by("9:9:", reads).sees(1)
