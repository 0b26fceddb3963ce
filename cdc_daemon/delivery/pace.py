"""How long a small batch is held back, so that requests are no more than freshness needs. Pure.

A large batch is never held. A small one goes at once after a pause; while changes keep coming,
so many go that they are a small part of `freshness`. Where `freshness` is 0, what would be written
during a refresh can't be found before the next one: it waits for the refresh, and goes as one. The
same where somebody waits for a part of the batch, whatever `freshness` is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from cdc_daemon.delivery.lane import Batch

FRESHNESS_SHARE: Final = 20
"""Between two small requests of a lane lies this part of the freshness."""
LONGEST_REST_SECONDS: Final = 0.05
"""But no more: what is written is confirmed to the source, and other tools may read it by id."""
LONGEST_HOLD_SECONDS: Final = 0.1
"""A refresh that takes longer, or hangs, doesn't keep documents from being written."""


class Pace:
    """Answers for one pipeline; called by senders."""

    def __init__(
        self,
        freshness_seconds: Mapping[str, float],
        clock: Callable[[], float],
        awaited: Callable[[Batch], bool] = lambda _: False,
    ) -> None:
        """`awaited`: whether somebody waits for a part of a batch."""
        self._freshness_seconds = freshness_seconds
        self._clock = clock
        self._awaited = awaited
        self.hidden: Callable[[], AbstractSet[str]] = frozenset
        """The indices that hold something written which can't be found yet."""
        self.refreshing: Callable[[], AbstractSet[str]] = frozenset
        """The indices that are being refreshed."""
        self.at_once = False
        """While everything is to be written, hold nothing."""

    def hold_seconds(self, batch: Batch, sent_at: float) -> float:
        """How long to wait with `batch`; `sent_at` is when its lane sent the last request."""
        if self.at_once or batch.closed:
            return 0.0
        now = self._clock()
        freshest = min(self._freshness_seconds[index] for index in batch.by_index)
        awaited = self._awaited(batch)
        if freshest and not awaited:
            rest = min(freshest / FRESHNESS_SHARE, LONGEST_REST_SECONDS)
            return max(0.0, sent_at + rest - now)
        waits = self.refreshing() if awaited else self._soon_refreshed()
        if waits.isdisjoint(batch.by_index):
            return 0.0
        return max(0.0, batch.opened_at + LONGEST_HOLD_SECONDS - now)

    def _soon_refreshed(self) -> AbstractSet[str]:
        return {index for index in self.hidden() if not self._freshness_seconds[index]}
