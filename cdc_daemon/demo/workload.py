"""A steady random workload on the store: bookings, reviews, rooms, amenities, hotels, chains."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.errors import IntegrityError, TransactionRollback

from cdc_daemon.demo import store
from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Callable

SESSIONS: Final = 2
"""Concurrent connections, so that transactions overlap as they do in earnest."""

MOST_BEHIND_SECONDS: Final = 1.0
"""A workload that can't keep its rate doesn't try to catch up on more than this."""

STEADY: Final = {
    "stay_longer_or_shorter": 6,
    "pay": 6,
    "hold": 4,
    "ask_for_extras": 4,
    "cancel": 15,
    "reprice": 5,
    "review": 10,
    "hide_or_show_review": 3,
    "move_review": 2,
    "withdraw_review": 3,
    "add_amenity": 3,
    "remove_amenity": 3,
    "change_hands": 2,
    "rename": 2,
    "rename_chain": 0.3,
    "publish_or_withdraw": 2,
    "new_key_of_booking": 1,
    "new_key_of_hotel": 0.5,
}
"""How often each statement comes, of about a hundred transactions."""

FIRST: Final = ("Ada", "Bela", "Chloé", "Dora", "Emil", "Farah", "Goran", "Hedy", "Ivo", "Jun")
LAST: Final = ("Adams", "Borg", "Curie", "Dijkstra", "Euler", "Fuchs", "Gauß", "Hopper", "Ito")


class Workload:
    """Runs from `start` to `stop`, about `rate` transactions a second. `committed` counts them."""

    def __init__(self, dsn: str, rate: float) -> None:
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._sessions = [Session(dsn, rate / SESSIONS, self._stop) for _ in range(SESSIONS)]
        self._threads = [
            threading.Thread(target=self._run, args=(session,), name="workload", daemon=True)
            for session in self._sessions
        ]

    @property
    def committed(self) -> int:
        """Transactions until now."""
        return sum(session.committed for session in self._sessions)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let it end, after the transactions that are open."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end. Raises StopError if it failed."""
        for thread in self._threads:
            thread.join()
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise StopError if the workload ended by itself."""
        if self._failure is not None:
            raise StopError(f"the workload failed: {self._failure}") from self._failure

    def _run(self, session: Session) -> None:
        try:
            session.run()
        except (psycopg.Error, StopError) as error:
            self._failure = error


class Session:
    """One connection that does one transaction after the other, at random but steady."""

    def __init__(self, dsn: str, rate: float, stop: threading.Event) -> None:
        self._dsn = dsn
        self._interval_seconds = 1 / rate
        self._stop = stop
        self._newest_booking = 5000
        self.committed = 0
        self._statements = store.statements("workload.sql")
        actions: dict[Callable[[psycopg.Connection], object], float] = {
            self._book: 30,
            self._book_for_a_group: 0.5,
            self._swap_keys: 1,
            self._change_one_s_mind: 1,
            **{self._does(name): weight for name, weight in STEADY.items()},
        }
        self._actions, self._weights = list(actions), list(actions.values())

    def run(self) -> None:
        """Work until told to stop."""
        due = time.monotonic()
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                action = random.choices(self._actions, self._weights)[0]  # noqa: S311 - no secret
                try:
                    action(connection)
                    self.committed += 1
                except (IntegrityError, TransactionRollback):
                    pass  # two sessions met, or a name was taken: rolled back, as in earnest
                due += random.expovariate(1) * self._interval_seconds
                due = max(due, time.monotonic() - MOST_BEHIND_SECONDS)

    def _does(self, name: str) -> Callable[[psycopg.Connection], object]:
        statement = self._statements[name]
        return lambda connection: connection.execute(statement, self._values())

    def _values(self) -> dict[str, object]:
        """Random values for the names in the statements."""
        draw = random.random
        return {
            "some": int(draw() * self._newest_booking),
            "hotel": int(draw() * 320),
            "review": int(draw() * 2240),
            "room": int(draw() * 3190),
            "rooms": 1,
            "guest": f"{random.choice(FIRST)} {random.choice(LAST)}",  # noqa: S311 - not a secret
            "days": int(draw() * 365),
            "nights": 1 + int(draw() * 14),
            "paid": draw() < 0.3,  # noqa: PLR2004 - a share
            "held": draw() < 0.1,  # noqa: PLR2004 - a share
            "factor": 0.9 + draw() / 5,
        }

    def _book(self, connection: psycopg.Connection, rooms: int = 1) -> None:
        values = {**self._values(), "rooms": rooms}
        for (booking,) in connection.execute(self._statements["book"], values):
            self._newest_booking = booking

    def _book_for_a_group(self, connection: psycopg.Connection) -> None:
        self._book(connection, rooms=10)

    def _swap_keys(self, connection: psycopg.Connection) -> None:
        """Two bookings get each other's key, in one transaction."""
        with connection.transaction():
            lock = self._statements["two_bookings"]
            found = connection.execute(lock, self._values()).fetchall()
            if len(found) == 2:  # noqa: PLR2004 - a pair
                (one,), (other,) = found
                for new, old in ((-one, one), (one, other), (other, -one)):
                    connection.execute(self._statements["set_key"], {"new": new, "old": old})

    def _change_one_s_mind(self, connection: psycopg.Connection) -> None:
        """What is rolled back must never be seen."""
        with connection.transaction(force_rollback=True):
            self._book(connection)
