"""Reads by somebody's condition that a standby cancels again and again.

What is replayed may conflict with a read, and then waits for `max_standby_streaming_delay` at most.
A chunk takes a tenth of a second, so that is chance, and it is read again. A condition that takes
longer can meet such a conflict each time, and would be tried for ever.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from psycopg import errors

from cdc_daemon.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Chunk

MOST_CANCELLED: Final = 5
"""How often in a row one reader has a chunk cancelled by chance."""
SLOW_SECONDS: Final = 1.0
"""Who was cancelled sooner wasn't slow: what is replayed had waited for others by then."""
MOST_CANCELLED_SOON: Final = 20
"""How often by that: a standby that is far behind waits for nobody, and may stay so."""


class Cancellations:
    """Of one reader: how often in a row each chunk was cancelled, while it read by a condition."""

    def __init__(self) -> None:
        self._in_a_row: Counter[Chunk] = Counter()
        self._slowly: Counter[Chunk] = Counter()
        """Those of them that took long."""

    @contextmanager
    def blamed_on(self, where: str, chunk: Chunk) -> Iterator[None]:
        """Who asked for rows by a condition is to know that it is too slow; without one, nobody."""
        began = time.monotonic()
        try:
            yield
        except errors.SerializationFailure as error:
            if not where:
                raise
            self._in_a_row[chunk] += 1
            self._slowly[chunk] += time.monotonic() - began >= SLOW_SECONDS
            times = self._in_a_row[chunk]
            if self._slowly[chunk] < MOST_CANCELLED and times < MOST_CANCELLED_SOON:
                raise
            self._forget(chunk)  # the next one has its own condition
            raise SourceError(
                f"reading some rows of {chunk.table} by the condition was cancelled {times} times "
                "in a row by what the standby replays (max_standby_streaming_delay): write one "
                "that can use an index or a simpler one, or read all rows"
            ) from error
        self._forget(chunk)

    def _forget(self, chunk: Chunk) -> None:
        del self._in_a_row[chunk], self._slowly[chunk]
