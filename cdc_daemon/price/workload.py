"""Clients that write and search at a steady rate, all by one strategy; their history is kept."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, Self

from cdc_daemon.errors import StopError
from cdc_daemon.outside.actors import Actors
from cdc_daemon.price.history import History, Search, Write

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from cdc_daemon.price.clients import Answer, Committed

KEYS_OF_A_CLIENT: Final = 8
"""So few that each is written again soon: a reader who is late has something to miss."""

MOST_BEHIND_SECONDS: Final = 1.0
"""Clients that can't keep the rate don't try to catch up on more than this."""

PAUSE_SECONDS: Final = 0.05
"""After a search that nobody answered."""


class Client(Protocol):
    """What commits and searches by a strategy; used by one thread, within its context."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def write(self, key: int) -> Committed:
        """One more version of a row; returns when its COMMIT does."""

    def read(self, key: int) -> Answer:
        """What a search for the row finds. Raises StopError where nothing answers."""


class Workload:
    """Runs from `start` to `stop`. Each client writes rows of its own, and searches for any."""

    def __init__(self, make: Callable[[], Client], clients: int, rate: float) -> None:
        """`make` gives one client; `rate`: transactions a second, of all clients together."""
        self.history = History()
        self._make = make
        keys = range(1, keys_of(clients) + 1)
        self._sessions = [
            Session(str(number), keys[number::clients], keys, clients / rate)
            for number in range(clients)
        ]
        self._actors = Actors("client", [partial(self._run, each) for each in self._sessions])

    @property
    def unanswered(self) -> list[str]:
        """Why searches had no answer: these promise nothing, and prove nothing."""
        return [why for session in self._sessions for why in session.unanswered]

    def start(self) -> None:
        """Begin."""
        self._actors.start()

    def stop(self) -> None:
        """Let it end, after what is under way, and wait for that. Raises StopError if it failed."""
        self._actors.stop()

    def raise_failure(self) -> None:
        """Raise StopError if a client ended by itself."""
        self._actors.raise_failure()

    def _run(self, session: Session, stop: threading.Event) -> None:
        with self._make() as client:
            session.run(client, self.history, stop)


class Session:
    """What one client does: a transaction, a search for what it wrote, and one for any row."""

    def __init__(
        self, name: str, own: Sequence[int], everybody_s: Sequence[int], interval_seconds: float
    ) -> None:
        self.unanswered: list[str] = []
        self._name = name
        self._own = own
        self._everybody_s = everybody_s
        self._interval_seconds = interval_seconds

    def run(self, client: Client, history: History, stop: threading.Event) -> None:
        """Work until told to stop."""
        due = time.monotonic() + random.random() * self._interval_seconds  # noqa: S311 - no secret
        while not stop.wait(max(0.0, due - time.monotonic())):
            written = random.choice(self._own)  # noqa: S311 - not a secret
            committed = client.write(written)
            history.writes.append(Write(self._name, str(written), *committed))
            for key in (written, random.choice(self._everybody_s)):  # noqa: S311 - not a secret
                self._search(client, history, key)
            due += random.expovariate(1) * self._interval_seconds
            due = max(due, time.monotonic() - MOST_BEHIND_SECONDS)

    def _search(self, client: Client, history: History, key: int) -> None:
        try:
            answer = client.read(key)
        except StopError as error:
            self.unanswered.append(str(error))
            time.sleep(PAUSE_SECONDS)
            return
        history.searches.append(Search(self._name, str(key), *answer))


def keys_of(clients: int) -> int:
    """How many rows so many clients need: from 1 to this."""
    return clients * KEYS_OF_A_CLIENT
