"""Of several daemons of one pipeline one follows the source; the others wait, and one takes over.

What decides is the sink: each write of the checkpoint replaces the one that was read before, so two
that take over at once don't both go on. Waiting only sees to it that nobody is disturbed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import RetryError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from cdc_daemon.events import Checkpoint
    from cdc_daemon.ports import CheckpointStore, Source

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.5
FREE_SECONDS: Final = 1.0
"""Our place in the source must be free for so long: who follows it may only be connecting again."""
STARTING_SECONDS: Final = 15.0
"""The same where nobody has seen its owner follow the source, nor end: it may be starting, and that
takes as long as making indices and a slot."""


class Turn:
    """Whether it is our turn. Pure: times are given, in seconds."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._at_work: str | None = None
        """The owner that was seen following the source."""
        self._free: tuple[str, float] | None = None
        """The owner that doesn't, and since when."""

    def has_come(self, kept: Checkpoint | None, *, held: bool, now: float) -> bool:
        """Whether we may take over. `held`: somebody follows the source just now."""
        owner = "" if kept is None else kept.owner
        if held:
            self._at_work, self._free = owner, None
            return False
        if self._free is None or self._free[0] != owner:
            self._free = (owner, now)
        return now - self._free[1] >= self._patience_seconds(kept)

    def _patience_seconds(self, kept: Checkpoint | None) -> float:
        if kept is None or kept.written is not None or kept.owner in {"", self._owner}:
            return 0.0
        return FREE_SECONDS if kept.owner == self._at_work else STARTING_SECONDS


def wait_for_turn(
    *,
    turn: Turn,
    pipeline: str,
    source: Source,
    checkpoints: CheckpointStore,
    stopping: threading.Event,
    waiting: Callable[[], None],
) -> Checkpoint | None:
    """The checkpoint, once it is our turn; or when a stop is asked for. Touches nothing.

    Calls `waiting` before the first wait.
    """
    said = False
    while True:
        kept = None
        try:
            kept = checkpoints.load(pipeline)
            holder = source.held_by()
            if turn.has_come(kept, held=holder is not None, now=time.monotonic()):
                return kept
        except RetryError as error:
            holder = str(error)
        if not said:
            log.info("standby", held_by=holder or "a daemon that may be starting")
            waiting()
            said = True
        if stopping.wait(LOOK_SECONDS):
            return kept
