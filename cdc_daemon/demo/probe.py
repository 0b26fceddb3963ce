"""Measures from outside: commits a booking, and searches until a search finds it."""

from __future__ import annotations

import threading
import time
from typing import Final, NamedTuple

import psycopg

from cdc_daemon.demo import store
from cdc_daemon.errors import StopError
from cdc_daemon.outside.search import Search

PAUSE_SECONDS: Final = 0.4
GIVE_UP_SECONDS: Final = 30.0
BETWEEN_SEARCHES_SECONDS: Final = 0.001


class Found(NamedTuple):
    """One booking that a search found."""

    booking: int
    seconds: float
    """From the return of its COMMIT to the return of the search that found it."""
    searches: int


class Probe:
    """One thread that probes from `start` to `stop`; `found` grows."""

    def __init__(self, dsn: str, url: str) -> None:
        self._dsn = dsn
        self._url = url
        self._insert = store.statements("workload.sql")["probe"]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._failure: BaseException | None = None
        self.found: list[Found] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let it end, after the booking that is being searched."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end. Raises StopError if it failed."""
        self._thread.join()
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise StopError if probing ended by itself."""
        if self._failure is not None:
            raise StopError(f"the probe failed: {self._failure}") from self._failure

    def _run(self) -> None:
        try:
            with (
                psycopg.connect(self._dsn, autocommit=True) as connection,
                Search(self._url) as search,
            ):
                while not self._stop.wait(PAUSE_SECONDS):
                    self._probe(connection, search)
        except (psycopg.Error, StopError) as error:
            self._failure = error

    def _probe(self, connection: psycopg.Connection, search: Search) -> None:
        row = connection.execute(self._insert, {"guest": f"Probe {len(self.found) + 1}"}).fetchone()
        committed = time.perf_counter()
        booking = row[0] if row else 0
        searches = 1
        while not search.finds("bookings", {"term": {"id": booking}}):
            if time.perf_counter() - committed > GIVE_UP_SECONDS:
                raise StopError(
                    f"booking {booking} was committed {GIVE_UP_SECONDS:.0f} s ago, and no search "
                    "finds it"
                )
            time.sleep(BETWEEN_SEARCHES_SECONDS)
            searches += 1
        self.found.append(Found(booking, time.perf_counter() - committed, searches))
