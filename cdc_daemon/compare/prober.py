"""Measures the delay from outside: commits rows, and asks the read model until it finds them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.outside.actors import Actors

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from cdc_daemon.compare.application import Application
    from cdc_daemon.compare.journal import Change
    from cdc_daemon.compare.readmodel import ReadModel

PROBE_SECONDS: Final = 0.1
"""So often a row is committed, whether those before it have been found or not."""
BETWEEN_SEARCHES_SECONDS: Final = 0.002


class Prober:
    """One thread commits, another one asks for all that hasn't been found yet."""

    def __init__(
        self,
        application: Callable[[], Application],
        read_model: Callable[[], ReadModel],
        first_key: int,
    ) -> None:
        """`first_key`: of keys that nobody else has."""
        self.journal: list[Change] = []
        self.delays: dict[int, float] = {}
        """By key, of rows that were found: from the return of COMMIT to the answer."""
        self._application = application
        self._read_model = read_model
        self._first_key = first_key
        self._writers = Actors("prober", [self._write])
        self._searchers = Actors("prober", [self._search])

    @property
    def missing(self) -> list[Change]:
        """What was committed and hasn't been found yet."""
        return [probe for probe in [*self.journal] if probe.key not in self.delays]

    def start(self) -> None:
        """Begin."""
        self._searchers.start()
        self._writers.start()

    def raise_failure(self) -> None:
        """Raise StopError if probing ended by itself."""
        self._writers.raise_failure()
        self._searchers.raise_failure()

    def stop(self, settle_seconds: float) -> None:
        """Commit nothing more, and wait for what isn't found yet, but not for longer than that."""
        self._writers.stop()
        deadline = time.monotonic() + settle_seconds
        while self.missing and time.monotonic() < deadline:
            self._searchers.raise_failure()
            time.sleep(BETWEEN_SEARCHES_SECONDS)
        self._searchers.stop()

    def _write(self, stop: threading.Event) -> None:
        key = self._first_key
        with self._application() as application:
            while not stop.wait(PROBE_SECONDS):
                self.journal.append(application.make(key))
                key += 1

    def _search(self, stop: threading.Event) -> None:
        with self._read_model() as read_model:
            while not stop.wait(BETWEEN_SEARCHES_SECONDS):
                missing = self.missing
                if not missing:
                    continue
                found = read_model.found([probe.key for probe in missing])
                now = time.monotonic()
                self.delays |= {
                    probe.key: now - probe.committed for probe in missing if probe.key in found
                }
