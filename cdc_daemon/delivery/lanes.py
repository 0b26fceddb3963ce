"""All lanes of a pipeline: how many are in use, and in which order what they hold may go.

While one request carries all that comes, one lane is used: two small requests and the refreshes
between them cost the sink twice as much as one (measured: at 200 commits/s the delay was a third
longer). When it can't keep up, what comes is spread over all lanes. Documents then change lanes;
so each such division begins an era, whose batches wait until those of the eras before are done.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.delivery.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from cdc_daemon.delivery.lane import Batch
    from cdc_daemon.delivery.yielding import Yielding

CALM_SHARE: Final = 16
"""One lane is used again when all of them hold less than this part of a batch."""
CALM_SECONDS: Final = 1.0
"""Not sooner after the last change: each one costs a wait for the slowest lane."""


class Lanes:
    """The lanes, and how many of them are in use. One thread fills them."""

    def __init__(
        self,
        count: int,
        batch_bytes: int,
        hold_seconds: Callable[[Batch, float], float] = lambda _batch, _sent_at: 0.0,
        yielding: Yielding | None = None,
    ) -> None:
        """`yielding`: how much of the sink these may take, where others go before."""
        self._yielding = yielding
        self._batch_bytes = batch_bytes
        self._changed = threading.Condition()
        self._lanes = [
            Lane(batch_bytes, self._changed, self._oldest_era, hold_seconds) for _ in range(count)
        ]
        self._era = 0
        self._divided_at = 0.0
        self.in_use = 1
        """A document's lane is the hash of its id, modulo this."""

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)

    def __getitem__(self, at: int) -> Lane:
        return self._lanes[at]

    def of(self, index: str) -> Lanes:  # noqa: ARG002 - where there are others, it says which
        """Those that carry what is for the index."""
        return self

    @property
    def size_bytes(self) -> int:
        """What all of them hold."""
        return sum(lane.size_bytes for lane in self._lanes)

    @property
    def busy(self) -> bool:
        """Whether more is waiting than a request carries."""
        return self.size_bytes >= self._batch_bytes

    def adapt(self) -> int:
        """Use all lanes when one can't keep up, one when little comes; return how many."""
        size_bytes = self.size_bytes
        alone = self._yields()
        if self.in_use == 1:
            if size_bytes >= self._batch_bytes and len(self._lanes) > 1 and not alone:
                self._divide(len(self._lanes))
        elif (alone or size_bytes < self._batch_bytes // CALM_SHARE) and self._is_calm():
            self._divide(1)
        return self.in_use

    @property
    def request_bytes(self) -> int:
        """How large a request is, at most."""
        return self._lanes[0].batch_bytes

    def _yields(self) -> bool:
        """Whether others need the sink: then one lane is enough, and its requests are small."""
        if self._yielding is None:
            return False
        for lane in self._lanes:
            lane.batch_bytes = self._yielding.request_bytes
        return self._yielding.alone

    def mark(self) -> tuple[int, ...]:
        """Everything put until now, for `passed`."""
        return tuple(lane.last_number for lane in self._lanes)

    def passed(self, mark: tuple[int, ...]) -> bool:
        """Whether everything put before `mark` is durable."""
        return all(
            lane.done_number >= number for lane, number in zip(self._lanes, mark, strict=True)
        )

    def waiting(self, index: str) -> list[Container[bytes]]:
        """The ids that aren't durable yet, in sets; others are never among them."""
        if not self.size_bytes:
            return []
        with self._changed:
            batches = [batch for lane in self._lanes for batch in lane.pending()]
        return [batch.by_index[index] for batch in batches if index in batch.by_index]

    def look_again(self) -> None:
        """What a batch was held for may have passed."""
        with self._changed:
            self._changed.notify_all()

    def _is_calm(self) -> bool:
        return time.monotonic() - self._divided_at >= CALM_SECONDS

    def _divide(self, in_use: int) -> None:
        with self._changed:
            self._era += 1
            for lane in self._lanes:
                lane.close_open_batch()
                lane.era = self._era
            self.in_use = in_use
            self._divided_at = time.monotonic()
            self._changed.notify_all()

    def _oldest_era(self) -> int:
        """The era of the oldest batch that isn't durable. The caller holds the condition."""
        firsts = (next(lane.pending(), None) for lane in self._lanes)
        return min((batch.era for batch in firsts if batch is not None), default=self._era)
