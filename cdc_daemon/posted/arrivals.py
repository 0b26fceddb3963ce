"""Posts that wait until what became of them is durable or searchable: looked at when that moves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Arrival(NamedTuple):
    """One that waits."""

    is_there: Callable[[], bool]
    deadline: float
    """Monotonic seconds."""
    ended: Callable[[bool], None]
    """Called once: whether it was there in time."""


class Arrivals:
    """Those of one start. Any thread calls it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Arrival] = []
        self._stopped = False

    def add(self, arrival: Arrival, now: float) -> None:
        """Let one wait; it may be there already. Once nothing moves any more it is told so."""
        with self._lock:
            stopped = self._stopped
            if not stopped:
                self._waiting.append(arrival)
        if stopped:  # nobody looks after it: what was under way at the stop comes here as late
            arrival.ended(False)  # noqa: FBT003 - whether it was there
        else:
            self.look(now)

    def look(self, now: float) -> None:
        """Tell those that are there, and those whose time is up. Costs nothing where none waits."""
        if not self._waiting:
            return
        there: list[Arrival] = []
        late: list[Arrival] = []
        with self._lock:
            left: list[Arrival] = []
            for arrival in self._waiting:
                chosen = there if arrival.is_there() else late if arrival.deadline <= now else left
                chosen.append(arrival)
            self._waiting = left
        for arrival in (*there, *late):
            arrival.ended(arrival in there)

    def stop(self) -> None:
        """Nothing moves any more: tell all of them, and those that are yet to come."""
        with self._lock:
            self._stopped = True
            left, self._waiting = self._waiting, []
        for arrival in left:
            arrival.ended(False)  # noqa: FBT003 - whether it was there
