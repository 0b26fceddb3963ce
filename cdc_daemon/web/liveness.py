"""Whether a pipeline is alive and ready, by its state and by when its reader was last heard of."""

from __future__ import annotations

import time
from typing import Final

from cdc_daemon.ports import Health

STUCK_SECONDS: Final = 60.0
"""A reader that has not come round for so long is stuck: every wait of it is far shorter."""
HELD_UP_SECONDS: Final = 15.0
"""One that has not for so long is not ready: it may yet come round, so nobody restarts it."""
READING: Final = frozenset({"streaming", "loading"})


def live(state: str, heard_at: float | None) -> Health:
    """Whether a restart would help: never because an outside system is away.

    `heard_at` is of the monotonic clock; None where nobody has begun to read.
    """
    return _comes_round(state, heard_at, STUCK_SECONDS)


def ready(state: str, heard_at: float | None, trouble: str = "") -> Health:
    """Whether it does its work: it reads, or is ready to take over."""
    if state == "standby":
        return Health(ok=True, reason="another daemon follows the source: this one is standby")
    if state in READING:
        return _comes_round(state, heard_at, HELD_UP_SECONDS)
    return Health(ok=False, reason=f"the pipeline is {state}{f': {trouble}' if trouble else ''}")


def _comes_round(state: str, heard_at: float | None, seconds: float) -> Health:
    """Whether the reader, if it reads, has done so lately."""
    if state in READING and heard_at is not None:
        age = time.monotonic() - heard_at
        if age > seconds:
            return Health(ok=False, reason=f"the reader has been stuck for {age:.0f} s")
    return Health(ok=True)
