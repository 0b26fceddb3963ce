"""Every document of a joined read model, written from the state: a new generation, or a repair.

In slices between what the stream brings; what changes meanwhile is written the ordinary way, at a
higher version. After a crash it begins again: documents that are there are the same, or newer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cdc_daemon.backfill.speed import Speed

if TYPE_CHECKING:
    from cdc_daemon.delivery.dispatcher import Dispatcher
    from cdc_daemon.events import Load
    from cdc_daemon.joining import Joiner
    from cdc_daemon.projection.joined.plan import Plan

SLICE_BYTES: Final = 500_000
"""Documents of this size together are handed over before the stream is looked at again."""


class Writing:
    """Of one generation. The reader calls it."""

    failure: Exception | None = None
    """It can fail by nothing but what ends the daemon."""

    def __init__(
        self, asked: Load, plan: Plan, index: str, joiner: Joiner, dispatcher: Dispatcher
    ) -> None:
        self.relation = plan.relation
        self.names = (plan.name,)
        self.asked = asked
        self.rows = 0
        """Documents that were handed over."""
        self.speed = Speed()
        self.mark: tuple[int, ...] | None = None
        """Once all are handed over: what must be durable for the generation to be whole."""
        self._name = plan.name
        self._index = index
        self._joiner = joiner
        self._dispatcher = dispatcher
        self._after = b""
        self._looked_at = 0
        self._all = 0

    @property
    def fills(self) -> frozenset[str]:
        """The index."""
        return frozenset((self._index,))

    @property
    def waits(self) -> bool:
        """Whether the state lacks something of it."""
        return self.is_ahead or self._name in self._joiner.projections.held

    @property
    def is_ahead(self) -> bool:
        """Whether it was asked for beyond what the state has, as of one that was behind another's.

        What is written is to be newer than what was there when it was asked for.
        """
        return self._joiner.received < self.asked.since

    @property
    def phase(self) -> str:
        """`waiting` for the state, `writing`, or `finishing`: all documents are handed over."""
        if self.waits:
            return "waiting"
        return "writing" if self.mark is None else "finishing"

    @property
    def repairs(self) -> bool:
        """Whether searches see it already."""
        return self.asked.repairs

    @property
    def share_done(self) -> float:
        """0.0 to 1.0, by rows of the root: those that it had when it was begun."""
        if self.mark is not None:
            return 1.0
        return min(1.0, self._looked_at / self._all) if self._all else 0.0

    def stored(self) -> Load:
        """As the checkpoint keeps it, if it repairs: a start begins it again."""
        return replace(self.asked, rows=self.rows)

    def write_some(self, now: float) -> None:
        """Hand a slice over."""
        if not self._looked_at:
            self._all = self._joiner.store.count(self.relation)
        written = self._joiner.write_some(self._name, self._after, SLICE_BYTES)
        self.rows += len(written.documents)
        self._after = written.last
        self._looked_at += written.looked_at
        self.speed.sampled(now, self.rows, max(0, self._all - self._looked_at))
        if not written.looked_at:
            self.mark = self._dispatcher.mark()

    @property
    def is_durable(self) -> bool:
        """Whether the sink has every document."""
        return self.mark is not None and self._dispatcher.passed(self.mark)
