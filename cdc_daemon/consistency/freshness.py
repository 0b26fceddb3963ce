"""How long what was written lay in each index before searches could find it, beside what is wanted.

Counted from the first write after a refresh had begun to the end of the next one: so old did what
searches show get between two refreshes. Told by senders and the refresher, read at a scrape.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon.consistency.rolling import RollingMaximum

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Achieved(NamedTuple):
    """Of one read model, in seconds."""

    projection: str
    configured: float
    achieved: float
    """The longest of the last minute."""


class _Index:
    """What is known of one index; in monotonic seconds."""

    def __init__(self) -> None:
        self.hidden_since: float | None = None
        """When the first was written that no refresh has begun for."""
        self.refreshing_since: float | None = None
        """The same of what the refresh that is under way shows."""
        self.longest = RollingMaximum()

    def age(self, now: float) -> float:
        """How long the oldest lies there that can't be found."""
        known = (self.refreshing_since, self.hidden_since)
        return max((now - since for since in known if since is not None), default=0.0)


class Freshness:
    """Of all read models of a pipeline. Any thread calls it."""

    def __init__(self, projections: Mapping[str, str], configured: Mapping[str, float]) -> None:
        """By index: the projection that it belongs to, and the `freshness` of that."""
        self._lock = threading.Lock()
        self._projections = projections
        self._configured = configured
        self._indices = {index: _Index() for index in projections}

    def written(self, index: str) -> None:
        """Something was written to an index that is searched."""
        with self._lock:
            known = self._indices[index]
            if known.hidden_since is None:
                known.hidden_since = time.monotonic()

    def begin_refresh(self, indices: Collection[str]) -> None:
        """What was written until now is going to be shown."""
        with self._lock:
            for known in map(self._indices.__getitem__, indices):
                known.refreshing_since, known.hidden_since = known.hidden_since, None

    def end_refresh(self, indices: Collection[str], *, succeeded: bool) -> None:
        """The refresh has returned: it is shown, or hidden for longer."""
        with self._lock:
            now = time.monotonic()
            for known in map(self._indices.__getitem__, indices):
                if known.refreshing_since is None:
                    continue
                if succeeded:
                    known.longest.note(now, now - known.refreshing_since)
                else:
                    known.hidden_since = known.refreshing_since
                known.refreshing_since = None

    def achieved(self) -> list[Achieved]:
        """What is known of each read model, now: what still waits counts as well."""
        with self._lock:
            now = time.monotonic()
            return [
                Achieved(
                    projection=self._projections[index],
                    configured=self._configured[index],
                    achieved=known.longest.of(now, known.age(now)),
                )
                for index, known in self._indices.items()
            ]
