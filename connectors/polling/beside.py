"""Whether rows are read beside polls: a row may have been otherwise between two of them.

A row is as it was at one poll, is changed, read by a chunk, and changed back before the next poll.
That one finds it as it is remembered, and what was loaded would stay. Or a row is written as it was
between two chunks, and moves from blocks that are still to be read to ones that were read already:
it is in no chunk, however many polls lie between the two. So a poll gives all that was written
since the one before, the same or not, where anybody may have had something left to read between.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Beside:
    """Who reads rows says so from before the first of its snapshots until it has read all it will.

    A poll asks once it has its own.

    Any thread calls it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._reading = 0
        self._has_read = True
        """Since a poll began last. Before the first one nobody knows: another process may have."""
        self._had_read = False
        """The same of the poll before that."""

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Somebody takes snapshots, and reads rows in them, which together are to be all rows."""
        with self._lock:
            self._reading += 1
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1
                self._has_read = True

    def begin_again(self) -> None:
        """What was read since the poll that is gone on from isn't known."""
        with self._lock:
            self._has_read = True

    def begin(self) -> None:
        """A poll begins, and has no snapshot yet."""
        with self._lock:
            self._had_read, self._has_read = self._has_read, False

    def may_have_read(self) -> bool:
        """Whether somebody may have been reading between the poll before and this poll.

        Asked once this one has its snapshot: whoever begins to read then sees at least as much.
        """
        with self._lock:
            return self._had_read or self._has_read or self._reading > 0
