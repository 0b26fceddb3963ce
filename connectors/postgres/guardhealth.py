"""What a guard says of itself to those who watch it: `cdc-daemon strong guard --listen`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.ports import Health, Number

if TYPE_CHECKING:
    from collections.abc import Sequence

STUCK_SECONDS: Final = 60.0
"""A guard that has not come round for so long is stuck: to connect takes it less."""


class GuardHealth:
    """The guard's thread sets it, any thread asks."""

    def __init__(self) -> None:
        self.is_connected = False
        self.stands_in = False
        self.came_round = time.monotonic()

    def live(self) -> Health:
        """Whether it comes round, whatever the server does."""
        age = time.monotonic() - self.came_round
        if age > STUCK_SECONDS:
            return Health(ok=False, reason=f"the guard has been stuck for {age:.0f} s")
        return Health(ok=True)

    def ready(self) -> Health:
        """Whether it could stand in."""
        if not self.is_connected:
            return Health(ok=False, reason="the server can't be reached: see the log")
        return self.live()

    def numbers(self) -> Sequence[Number]:
        """Of the alarm: commits return, and searches may miss what they wrote."""
        return [
            Number("cdc_guard_connected", "Whether it could stand in", self.is_connected),
            Number("cdc_guard_stands_in", "Whether it does, for the daemon", self.stands_in),
        ]
