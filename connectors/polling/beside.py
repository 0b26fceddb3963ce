"""Whether rows were read beside polls: a row may have been otherwise between two of them.

A row is as it was at one poll, is changed, read by a chunk, and changed back before the next poll.
That one finds it as it is remembered, and what was loaded would stay. So a poll gives all that was
written since the one before, the same or not, where anybody may have read rows between the two.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Beside:
    """Who reads rows says so from before its snapshot until it is done; a poll asks within its own.

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
        """Somebody takes a snapshot, and reads rows in it."""
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
        """Whether a snapshot may lie between that of the poll before and that of this poll.

        Asked once this one is taken: whoever begins to read from then on sees at least as much.
        """
        with self._lock:
            return self._had_read or self._has_read or self._reading > 0
