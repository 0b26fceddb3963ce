"""Numbers what comes: positions that grow, also from one process to the next. Pure.

A position is the time of arrival in microseconds, or some more than the last one, and after a
restart beyond all that came before: so it grows without being kept anywhere.
"""

from __future__ import annotations

from typing import Final

from cdc_daemon.events import NOWHERE, Position

MICROSECONDS: Final = 1_000_000
STEP: Final = 8
"""From one position to the next, as those of a log: a truncate writes just below its own."""
BEYOND: Final = 3600 * MICROSECONDS
"""A process begins so far beyond now: later than all that one before has given, which began as far
beyond an earlier now, and gives fewer than one each STEP microseconds. It leaves that much room for
a clock that was set back, or is another machine's."""


class Numbering:
    """Of one source. Its owner sees to it that one thread calls it at a time."""

    def __init__(self) -> None:
        self.last = NOWHERE
        """The newest position that was given."""

    def next(self, now: float) -> Position:
        """After all before, also those of a process before."""
        self.last = max(Position(self.last + STEP), Position(int(now * MICROSECONDS)))
        return self.last

    def step(self) -> Position:
        """After all before, and no more than that."""
        self.last = Position(self.last + STEP)
        return self.last

    def go_beyond(self, after: Position, now: float) -> None:
        """Where a process before has come to `after`: all that is given now is later."""
        if self.last < after:
            ahead = Position(int(now * MICROSECONDS) + BEYOND)
            self.last = ahead if after < ahead else Position(after + BEYOND)
