"""Threads that act as clients do, from `start` to `stop`; when one fails, that is told."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONGEST_SECONDS: Final = 60.0
"""One operation may take so long when they are to stop: a server that was killed comes back."""


class Actors:
    """Each is a function that works until the event that it is given is set."""

    def __init__(self, name: str, work: Sequence[Callable[[threading.Event], None]]) -> None:
        """`name`: one of them, for people."""
        self._name = name
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name=name, daemon=True)
            for each in work
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let it end, after what is under way, and wait for that. Raises StopError if it failed."""
        self._stop.set()
        deadline = time.monotonic() + LONGEST_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.raise_failure()
        if any(thread.is_alive() for thread in self._threads):
            raise StopError(
                f"{self._name}s still wait {LONGEST_SECONDS:.0f} s after they were told to stop: "
                "for a COMMIT that nobody confirms, or a server that doesn't answer"
            )

    def raise_failure(self) -> None:
        """Raise StopError if one ended by itself."""
        if self._failure is not None:
            raise StopError(f"a {self._name} failed: {self._failure}") from self._failure

    def _run(self, work: Callable[[threading.Event], None]) -> None:
        try:
            work(self._stop)
        except Exception as error:  # noqa: BLE001 - told by raise_failure, whatever it is
            self._failure = error
