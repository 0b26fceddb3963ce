"""Signs of life while very much is applied or sent at once, and nothing is read meanwhile."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cdc_daemon.delivery.confirming import Confirming
from cdc_daemon.errors import RetryError

if TYPE_CHECKING:
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.ports import Source

BEAT_SECONDS: Final = 0.5
"""Far below what a source, or a health check, waits for."""


class Heartbeat:
    """Of one reader, which calls it."""

    def __init__(self, source: Source, delivery: Delivery) -> None:
        self._delivery = delivery
        self._confirming = Confirming(source, delivery)

    def beat(self) -> None:
        """Go on: the reader is at work. Called however often, also in the middle of a batch: it
        touches nothing of the state.
        """  # noqa: D205 - one sentence
        delivery, now = self._delivery, time.monotonic()
        if now - delivery.heard_from_reader < BEAT_SECONDS:
            return
        delivery.heard_from_reader = now
        # One that is lost says so when it is read: until then nothing needs to be undone.
        with suppress(RetryError):
            self._confirming.repeat()
