"""Where records end at the borders of the log's pages."""

from __future__ import annotations

import pytest

from connectors.postgres.walpages import WalPages

PAGES = WalPages(page_bytes=8192, segment_bytes=16 * 1024 * 1024)
SEGMENT = 5 * PAGES.segment_bytes
PAGE = SEGMENT + 3 * PAGES.page_bytes


@pytest.mark.parametrize(
    ("insert", "end"),
    [
        (PAGE + 24, PAGE),
        (SEGMENT + 40, SEGMENT),
        (PAGE + 40, PAGE + 40),  # the end of a record that began on the page before
        (PAGE + 32, PAGE + 32),
        (PAGE - 8, PAGE - 8),
        (SEGMENT - 8, SEGMENT - 8),
        (SEGMENT + 48, SEGMENT + 48),
    ],
)
def test_no_record_ends_behind_a_header(insert: int, end: int) -> None:
    """Where the next record begins right behind a page's header, the last one ended before it."""
    assert PAGES.last_end(insert) == end
