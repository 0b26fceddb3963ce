"""Strong consistency, as the daemon sees it: whether commits wait for it, and how long.

The clock's thread samples the first; the reader says what it has reported.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.consistency.latency import StageLatency, Transaction
from cdc_daemon.ports import Standing

if TYPE_CHECKING:
    from cdc_daemon.config.strong import StrongConfig
    from cdc_daemon.events import Position
    from cdc_daemon.metrics import Metrics

log = structlog.get_logger(__name__)


class Strong:
    """Of one pipeline; any thread looks at it."""

    def __init__(
        self, metrics: Metrics, config: StrongConfig | None, *, relayed: bool = False
    ) -> None:
        """`config`: commits are to wait for us, and how; None: nobody expects it. `relayed`: they
        wait for a relay, which says whether they do, and that waits for us.
        """  # noqa: D205 - two sentences
        self._metrics = metrics
        self.is_expected = config is not None
        """Whether commits are to wait for us."""
        self.is_relayed = relayed
        """What is durable here is nothing that they wait for."""
        self.excluded: frozenset[str] = frozenset(config.exclude if config else ())
        """The projections that commits don't wait for."""
        self.silence_seconds = config.silence_seconds if config else None
        """The source gives us up when it hears nothing of us for so long."""
        self._reported = StageLatency()
        self.standing = Standing()
        """As of the last sample."""
        self.covers_all = True
        """Whether searches see every read model that commits wait for; whoever confirms sets it."""
        self._is_active = False
        if self.is_expected and not relayed:
            metrics.strong(active=False)

    @property
    def waited_for(self) -> bool:
        """Whether a commit may wait for us now: then nothing is held back."""
        return self.standing.named

    def why_not(self, projection: str | None, *, is_loaded: bool) -> str:
        """Why a COMMIT that returns now doesn't wait for a read model; empty if it does.

        `is_loaded`: searches see the index that is written to. Without a projection: of all that
        commits are to wait for.
        """
        if not self.standing.named:
            return "commits don't wait for the daemon: cdc-daemon strong enable lets them"
        if not self.standing.synchronous:
            return (
                "commits don't wait for the daemon now: it is catching up, or the source can't be "
                "asked"
            )
        if projection in self.excluded:
            return f"commits don't wait for {projection}: consistency.strong.exclude names it"
        if not (self.covers_all if projection is None else is_loaded):
            return (
                "existing rows are being loaded, and commits don't wait for a read model that "
                "searches don't see yet"
            )
        return ""

    def sampled(self, standing: Standing) -> None:
        """The source was asked."""
        before, self.standing = self.standing, standing
        if self.is_relayed:
            return
        was_active, self._is_active = self._is_active, standing.synchronous and self.covers_all
        if standing.named or before.named or self.is_expected:
            self._metrics.strong(active=self._is_active)
        if standing.named and not (before.named or self.is_expected):
            log.warning("strong_not_configured")
        if self._is_active and not was_active:
            log.info("strong_began")
        elif was_active and not self._is_active:
            log.warning("strong_ended", named=standing.named, loaded=self.covers_all)

    def lost(self) -> None:
        """The source can't be asked: commits may wait for us still, and nobody knows."""
        self.sampled(Standing(named=self.standing.named))

    def received(self, position: Position) -> None:
        """A transaction was read; the reader says so."""
        if self.standing.synchronous:
            self._reported.committed(Transaction(position, time.monotonic()))

    def reported(self, position: Position) -> None:
        """The source was told that everything up to `position` is searchable."""
        now = time.monotonic()
        for transaction in self._reported.passed(position):
            self._metrics.strong_commit(now - transaction.committed)
