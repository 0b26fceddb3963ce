"""Asks the source for a write while what was read waits for a stream that stands still.

Reading rows may write to the source's log (it prunes dead rows on its way), and nothing flushes
that before the next commit: on an idle source the stream would not get there for a long time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.events import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Position

PATIENCE_SECONDS: Final = 0.2
"""A busy source moves on by itself."""


class Nudging:
    """One reason to wait. The reader calls it."""

    def __init__(self, nudge: Callable[[], None]) -> None:
        self._nudge = nudge
        self._received = NOWHERE
        self._since = 0.0

    def waits(self, received: Position, wanted: Position | None) -> None:
        """The stream is at `received`; `wanted` is waited for, if anything is."""
        now = time.monotonic()
        if wanted is None or wanted <= received or received != self._received:
            self._received, self._since = received, now
        elif now - self._since >= PATIENCE_SECONDS:
            self._since = now
            self._nudge()
