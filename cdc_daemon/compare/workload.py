"""Clients that write at a steady rate, and the journal of what they have committed."""

from __future__ import annotations

import random
import time
from collections import deque
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from cdc_daemon.outside.actors import Actors

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from cdc_daemon.compare.application import Application
    from cdc_daemon.compare.journal import Change

CLIENTS: Final = 4
"""Concurrent connections at a steady rate, so that transactions overlap as they do in earnest."""

ACTIONS: Final = {"change": 70, "make": 15, "cancel": 12, "give_up": 3}
"""How often each comes, of a hundred transactions."""

FEWEST_ROWS: Final = 5
MOST_ROWS: Final = 30
"""A client has at least and at most so many rows: each is changed again soon, so that who looks
seldom has something to miss."""

LATE_SECONDS: Final = 1.5
"""One more client has transactions that stay open for so long: what they wrote becomes visible
after much that was written later."""

MOST_BEHIND_SECONDS: Final = 1.0
"""A workload that can't keep its rate doesn't try to catch up on more than this."""

KEYS_OF_A_CLIENT: Final = 10_000_000
KEYS_OF_A_WORKLOAD: Final = (CLIENTS + 1) * KEYS_OF_A_CLIENT
"""More than it ever makes."""


class Workload:
    """Runs from `start` to `stop`, about `rate` transactions a second, and keeps the journal.

    Started once more, its clients go on with the rows that they have.
    """

    def __init__(self, make: Callable[[], Application], rate: float, first_key: int) -> None:
        """`first_key`: of the KEYS_OF_A_WORKLOAD keys that nobody else has."""
        self.journal: list[Change] = []
        firsts = (first_key + number * KEYS_OF_A_CLIENT for number in range(CLIENTS + 1))
        late, *steady = (Client(make, self.journal, first) for first in firsts)
        interval = CLIENTS / rate
        work = [partial(each.run, interval_seconds=interval) for each in steady]
        self._work: list[Callable[[threading.Event], None]] = [late.run_late, *work]
        self._actors = Actors("client", ())

    def start(self) -> None:
        """Begin, or go on."""
        self._actors = Actors("client", self._work)
        self._actors.start()

    def stop(self) -> None:
        """Let it end, after the transactions that are open. Raises StopError if it failed."""
        self._actors.stop()

    def raise_failure(self) -> None:
        """Raise StopError if a client ended by itself."""
        self._actors.raise_failure()


class Client:
    """One connection, and rows that only it writes."""

    def __init__(
        self, make: Callable[[], Application], journal: list[Change], first_key: int
    ) -> None:
        self._make = make
        self._journal = journal
        self._keys = count(first_key)
        self._rows: deque[int] = deque()

    def run(self, stop: threading.Event, interval_seconds: float) -> None:
        """Do one transaction after the other, at random but steady."""
        due = time.monotonic() + random.random() * interval_seconds  # noqa: S311 - no secret
        with self._make() as application:
            while not stop.wait(max(0.0, due - time.monotonic())):
                self._act(application, self._chosen())
                due += random.expovariate(1) * interval_seconds
                due = max(due, time.monotonic() - MOST_BEHIND_SECONDS)

    def run_late(self, stop: threading.Event) -> None:
        """Do one long transaction after the other."""
        with self._make() as application:
            while not stop.is_set():
                self._journal.append(application.make(next(self._keys), LATE_SECONDS))

    def _chosen(self) -> str:
        if len(self._rows) < FEWEST_ROWS:
            return "make"
        if len(self._rows) > MOST_ROWS:
            return "cancel"
        (action,) = random.choices([*ACTIONS], [*ACTIONS.values()])  # noqa: S311 - no secret
        return action

    def _act(self, application: Application, action: str) -> None:
        match action:
            case "make":
                self._journal.append(application.make(key := next(self._keys)))
                self._rows.append(key)
            case "cancel":
                self._journal.append(application.cancel(self._rows.popleft()))
            case "give_up":
                application.give_up(next(self._keys))
            case _:
                key = random.choice(self._rows)  # noqa: S311 - no secret
                self._journal.append(application.change(key))
