"""Knows where the source's log ends, and has the stream come there, for those who wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import CdcError
from cdc_daemon.events import NOWHERE, Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.ports import SourceClock

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = 1.0
"""A source that can't be asked is asked again this often while somebody waits."""


class LogEnd(threading.Thread):
    """One thread with a connection of its own; it asks once for all who wait."""

    def __init__(self, clock: SourceClock, found: Callable[[Position, float], None]) -> None:
        """`found` gets where the log ended, and when that was asked (monotonic seconds)."""
        super().__init__(name="log end", daemon=True)
        self._clock = clock
        self._found = found
        self._lock = threading.Lock()
        self._wanted = NOWHERE
        self._awake = threading.Event()
        self._ended = threading.Event()

    def look(self, position: Position) -> None:
        """Somebody waits for this, and it has not come. Any thread calls it."""
        with self._lock:
            self._wanted = max(self._wanted, position)
        self._awake.set()

    def stop(self) -> None:
        """Make the thread end."""
        self._ended.set()
        self._awake.set()

    def run(self) -> None:
        """Ask when somebody waits, until stopped."""
        try:
            while not self._ended.is_set():
                self._awake.wait()
                self._awake.clear()
                self._ask(self._take())
        finally:
            self._clock.close()

    def _take(self) -> Position:
        with self._lock:
            wanted, self._wanted = self._wanted, NOWHERE
            return wanted

    def _ask(self, wanted: Position) -> None:
        if wanted == NOWHERE:
            return
        asked = time.monotonic()
        try:
            end = self._clock.reach(wanted)
        except CdcError as error:
            log.debug("log_end_unknown", error=str(error))
            self.look(wanted)
            self._ended.wait(AGAIN_SECONDS)
            return
        self._found(end, asked)
