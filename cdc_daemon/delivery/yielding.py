"""How much of the sink background work may take while changes come. Pure.

Rows that are loaded, generations that are written, the documents of wide changes: nobody waits for
one of them, and ten thousand in a request take the sink's processors for a second. So requests of
changes and refreshes are watched. When one takes too long, the next request of the background is
half as large, and a tenth larger while none does: as TCP finds what a network bears. Where even the
smallest is too much, there is a rest after each. What the sink takes as long for when nothing of
the background is in its way is no reason to yield.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cdc_daemon.delivery.lane import Batch

SMALLEST_BYTES: Final = 250_000
"""Some hundred documents: a request of fewer costs the sink more for each of them."""
GROWTH: Final = 1.1
"""From the smallest to `memory.batch` in thirty requests, some seconds."""
LONGEST_SECONDS: Final = 0.05
"""A request of changes, or a refresh, may take so long: a change waits for two or three of each."""
FRESHNESS_SHARE: Final = 4
"""Or this part of the freshness, where that is more."""
USUALLY_FACTOR: Final = 2.0
"""Or so many times what it takes without the background."""
USUALLY_SHARE: Final = 0.1
"""How much one request says of what they usually take."""
REST_FACTORS: Final = (0.0, 0.5, 1.0, 2.0, 4.0)
"""A rest is such a part of what the request took."""
LONGEST_REST_SECONDS: Final = 0.5
"""But no longer than this: where the sink is slow whatever we do, the background goes on."""
QUIET_SECONDS: Final = 10.0
"""Without changes for so long, nothing has to yield."""
LARGE_OPERATIONS: Final = 1_000
"""A request of so many changes takes its time by itself: a stream that fills such requests is
behind, and neither waits for the background, nor does the background wait for it."""


class Yielding:
    """Of the background of one sink. Senders and the refresher call it, each from its thread."""

    def __init__(
        self,
        largest_bytes: int,
        freshness_seconds: Mapping[str, float],
        clock: Callable[[], float],
    ) -> None:
        """`largest_bytes` is what any request holds at most; freshness is that of each index."""
        self._largest_bytes = largest_bytes
        self._smallest_bytes = min(SMALLEST_BYTES, largest_bytes)
        self._freshness_seconds = freshness_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._in_flight = 0
        self._alone_since = clock()
        """When the last request of the background ended."""
        self._changed_at: float | None = None
        """When changes were written last."""
        self._overdone = False
        """Whether something has taken too long since the last request of the background."""
        self._seen = False
        """Whether anything was watched since then."""
        self._rest = 0
        """Which of the factors."""
        self._rest_until = 0.0
        self._usually = {"changes": 0.0, "refresh": 0.0}
        self.request_bytes = largest_bytes
        """How large a request of the background may be."""
        self.at_once = False
        """While everything is to be written, there is no rest."""

    @property
    def alone(self) -> bool:
        """Whether the background is to have one request in flight, and no more."""
        return self.request_bytes < self._largest_bytes // 2

    def hold_seconds(self, _batch: Batch, _sent_at: float) -> float:
        """How long to wait with a request of the background."""
        return 0.0 if self.at_once else max(0.0, self._rest_until - self._clock())

    def changes_written(self, batch: Batch, seconds: float) -> None:
        """A request of changes has taken so long."""
        with self._lock:
            if self._is_quiet:
                self.request_bytes = self._smallest_bytes
            self._changed_at = self._clock()
            if batch.count < LARGE_OPERATIONS:
                self._watch("changes", batch.by_index, seconds)

    def refreshed(self, indices: Iterable[str], seconds: float) -> None:
        """A refresh of these has taken so long."""
        with self._lock:
            if not self._is_quiet:
                self._watch("refresh", indices, seconds)

    def begins(self) -> None:
        """A request of the background is sent."""
        with self._lock:
            self._in_flight += 1

    def ends(self, _batch: Batch, seconds: float) -> None:
        """It has taken so long."""
        with self._lock:
            self._in_flight -= 1
            self._alone_since = now = self._clock()
            if self._is_quiet:
                self.request_bytes, self._rest = self._largest_bytes, 0
            elif self._overdone:
                self._yield()
            elif self._seen:
                self._grow()
            self._overdone = self._seen = False
            rest = REST_FACTORS[self._rest] * seconds
            self._rest_until = now + min(LONGEST_REST_SECONDS, rest)

    @property
    def _is_quiet(self) -> bool:
        return self._changed_at is None or self._clock() - self._changed_at > QUIET_SECONDS

    def _watch(self, kind: str, indices: Iterable[str], seconds: float) -> None:
        usually = self._usually[kind]
        if not self._in_flight and self._alone_since <= self._clock() - seconds:
            share = USUALLY_SHARE if usually else 1.0
            self._usually[kind] = usually + share * (seconds - usually)
            return
        freshest = min((self._freshness_seconds[index] for index in indices), default=0.0)
        bound = max(LONGEST_SECONDS, freshest / FRESHNESS_SHARE, USUALLY_FACTOR * usually)
        self._seen = True
        self._overdone |= seconds > bound

    def _yield(self) -> None:
        if self.request_bytes > self._smallest_bytes:
            self.request_bytes = max(self._smallest_bytes, self.request_bytes // 2)
        else:
            self._rest = min(self._rest + 1, len(REST_FACTORS) - 1)

    def _grow(self) -> None:
        if self._rest:
            self._rest -= 1
        else:
            self.request_bytes = min(self._largest_bytes, int(self.request_bytes * GROWTH))
