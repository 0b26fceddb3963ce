"""Numbers the messages of queues as they come, and those that wait before they do."""

from __future__ import annotations

import threading
import time

from cdc_daemon.events import NOWHERE, Position
from connectors.messages.numbering import STEP, Numbering


class Arrivals:
    """Of one pipeline. The reader numbers, any thread asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbering = Numbering()
        self._expected = NOWHERE
        """The highest position that was told of messages that waited."""

    @property
    def last(self) -> Position:
        """The newest position that was given."""
        return self._numbering.last

    def go_beyond(self, after: Position) -> None:
        """Everything that is numbered from now on is later."""
        with self._lock:
            self._numbering.go_beyond(after, time.time())

    def place(self) -> Position:
        """From now on."""
        with self._lock:
            return self._numbering.next(time.time())

    def number(self) -> Position:
        """Of the next message: always one step further, so that it is known before it comes."""
        with self._lock:
            return self._numbering.next(0.0)

    def expect(self, ready: int) -> Position:
        """Where the last of `ready` messages will be that wait.

        Where none waits, those that were expected have come; or a queue has dropped them.
        """
        with self._lock:
            if ready == 0:
                self._numbering.last = max(self._numbering.last, self._expected)
            position = Position(self._numbering.last + ready * STEP)
            self._expected = max(self._expected, position)
            return position
