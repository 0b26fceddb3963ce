"""While the source is away: what needs no more of it than the state has is written."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.backfill.backfill import Backfill
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.joining import Joiner

ALONE_SECONDS: Final = 5.0
"""The source is tried again after about as long a pause."""
WAIT_SECONDS: Final = 0.1
"""Between two looks, where nothing else wakes us."""


class OverError(Exception):
    """How whoever waits for room is interrupted: it goes on the next time."""


class Alone:
    """Of one pipeline. The reader calls it, where it has no stream."""

    def __init__(
        self,
        delivery: Delivery,
        backfill: Backfill,
        joiner: Joiner | None,
        stopping: Callable[[], bool],
    ) -> None:
        self._delivery = delivery
        self._backfill = backfill
        self._joiner = joiner
        self._stopping = stopping
        self._until = 0.0

    def write(self) -> None:
        """Until nothing is left to do, or the source is to be tried again, or for a stop."""
        delivery, dispatcher = self._delivery, self._delivery.dispatcher
        self._until = time.monotonic() + ALONE_SECONDS
        wait_for_room, dispatcher.wait_for_room = dispatcher.wait_for_room, self._wait
        delivery.wait_beside = self._wait_beside
        try:
            with suppress(OverError):
                self._write()
        finally:
            dispatcher.wait_for_room = wait_for_room
            delivery.wait_beside = None

    def _write(self) -> None:
        if self._joiner is not None:
            self._joiner.forget()  # what isn't in the state comes again
        while True:
            is_pressing = self._go_on_joining()
            if self._backfill.writes:
                self._backfill.write()
                is_pressing |= self._backfill.is_pressing
            if is_pressing:
                self._raise_if_over()
                continue
            self._delivery.dispatcher.release()
            if not (self._backfill.writes or (self._joiner is not None and self._joiner.works)):
                return
            self._wait()

    def _go_on_joining(self) -> bool:
        """Send documents, and forget those that the sink has; whether more can be sent now."""
        if self._joiner is None:
            return False
        self._joiner.flush()
        has_more = self._joiner.step()
        self._joiner.keep(urgent=False)
        return has_more

    def _wait(self) -> None:
        self._delivery.wait(WAIT_SECONDS)
        self._raise_if_over()

    def _wait_beside(self) -> None:
        """Work that has begun in another thread is begun once: it is waited for to its end."""
        self._delivery.raise_failure()
        if self._stopping():
            raise OverError

    def _raise_if_over(self) -> None:
        if self._stopping() or time.monotonic() >= self._until:
            raise OverError
