"""Where in the log a record can end. Pure.

The position at which the next record will be inserted lies behind the header of its page when the
last record ended exactly at the page's beginning. No commit ends there: whoever waits for a commit
at or above that position would wait for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cdc_daemon.events import Position

SHORT_HEADER_BYTES: Final = 24
"""Of a page of the log: XLogPageHeaderData, aligned to 8 bytes."""
LONG_HEADER_BYTES: Final = 40
"""Of the first page of a segment: XLogLongPageHeaderData."""


@dataclass(frozen=True, slots=True)
class WalPages:
    """How a server divides its log."""

    page_bytes: int
    segment_bytes: int

    def last_end(self, insert: int) -> Position:
        """Where the last record ended, when the next one will be inserted at `insert`."""
        if insert % self.segment_bytes == LONG_HEADER_BYTES:
            return Position(insert - LONG_HEADER_BYTES)
        if insert % self.page_bytes == SHORT_HEADER_BYTES:
            return Position(insert - SHORT_HEADER_BYTES)
        return Position(insert)
