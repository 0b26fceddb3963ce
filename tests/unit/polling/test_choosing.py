"""Which rows are read, and what is remembered of them."""

from __future__ import annotations

import pytest

from connectors.polling.choosing import COMPARABLE, EVERY_ROW, Rising, at_or_after, written_since
from connectors.polling.kept import key_of
from connectors.polling.seen import PAGE_BITS, Seen
from connectors.polling.statements import literal, quoted
from connectors.postgres.visibility import SnapshotVisibility

EPOCH = 1 << 32


def seeing(xmin: int, xmax: int) -> SnapshotVisibility:
    """A snapshot."""
    return SnapshotVisibility(xmin, xmax, frozenset())


@pytest.mark.parametrize(
    ("before", "now", "xmin", "chosen"),
    [
        (seeing(100, 110), seeing(110, 120), 99, False),
        (seeing(100, 110), seeing(110, 120), 100, True),  # it was running, or a savepoint of one
        (seeing(100, 110), seeing(110, 120), 119, True),
        (seeing(100, 110), seeing(110, 120), 120, False),
        (seeing(EPOCH - 5, EPOCH), seeing(EPOCH, EPOCH + 5), EPOCH - 5, True),
        (seeing(EPOCH - 5, EPOCH), seeing(EPOCH, EPOCH + 5), 4, True),
        (seeing(EPOCH - 5, EPOCH), seeing(EPOCH, EPOCH + 5), 5, False),
    ],
)
def test_numbers_of_transactions_go_round(
    before: SnapshotVisibility, now: SnapshotVisibility, xmin: int, *, chosen: bool
) -> None:
    """What may have been written since is chosen, over the end of 32 bits too."""
    condition = written_since(before, now).replace("xmin::text::bigint", str(xmin))
    assert eval(condition) is chosen  # noqa: S307 - arithmetic that Python has in common with SQL


def test_after_a_whole_round_every_row_is_chosen() -> None:
    """No number says any more who is older."""
    assert written_since(seeing(5, 5), seeing(EPOCH + 5, EPOCH + 5)) == EVERY_ROW


def test_an_overlap_is_taken_from_the_bound_and_not_added_to_the_column() -> None:
    """An index on the column serves."""
    at = Rising("updated_at", COMPARABLE["timestamp with time zone"], 90)
    assert at_or_after(at, "2026-01-01 00:00:00+00") == (
        "\"updated_at\" >= E'2026-01-01 00:00:00+00'::timestamptz - E'90 seconds'::interval"
    )
    number = Rising("n", COMPARABLE["integer"], 1000)
    assert at_or_after(number, "5") == "\"n\" >= E'5'::bigint - E'1000'::bigint"
    assert at_or_after(number, None) == EVERY_ROW


def test_names_and_texts_are_quoted() -> None:
    """Whatever is in them."""
    assert quoted('a"b') == '"a""b"'
    assert literal("a'b\\c") == "E'a''b\\\\c'"


def test_numbers_that_were_seen() -> None:
    """Each counts once, far apart as they may be."""
    seen = Seen()
    seen.add([1, 7, 8, PAGE_BITS * 1000, 7])
    assert seen.count == 4
    assert [number in seen for number in (0, 1, 7, 8, 9, PAGE_BITS * 1000)] == [
        *(False, True, True, True, False, True),
    ]


def test_keys_of_several_columns_are_told_apart() -> None:
    """Also where they are the same when they are put together."""
    assert key_of([b'"a"', b'"b"']) != key_of([b'"a","b"'])
