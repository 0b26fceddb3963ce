"""Watches the source of a running pipeline: samples its clock, and what it keeps for us."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.consistency.delay import SAMPLE_SECONDS
from cdc_daemon.consistency.delays import PIPELINE, Delays
from cdc_daemon.consistency.retention import RetentionAlarm
from cdc_daemon.consistency.strong import Strong
from cdc_daemon.errors import CdcError, RetentionLimitError, RetryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.config.strong import StrongConfig
    from cdc_daemon.consistency.latency import Transaction
    from cdc_daemon.consistency.spans import Spans
    from cdc_daemon.events import Position
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import SlotHealth, SourceClock

log = structlog.get_logger(__name__)

NUDGE_AFTER_SECONDS: Final = 2.0
"""A sample that nothing is pending for and that still isn't reached lies inside a log record that
stays half flushed while the source is idle: then one message is written to the log."""


class Monitor(threading.Thread):
    """One thread that samples; any thread tells `delays` how far the stages are."""

    def __init__(
        self,
        clock: SourceClock,
        metrics: Metrics,
        strong: StrongConfig | None = None,
        spans: Spans | None = None,
        *,
        relayed: bool = False,
    ) -> None:
        """`strong`: how commits of the source are to wait for us, if they are; `relayed`: for a
        relay, which waits for us.
        """  # noqa: D205 - one sentence
        super().__init__(name="clock", daemon=True)
        self._clock = clock
        self._metrics = metrics
        self._spans = spans
        self.delays = Delays(self._passed)
        self._ended = threading.Event()  # not `_stop`: threads have a method of that name
        self._awake = threading.Event()
        self._nudged: Position | None = None
        self._nudge_asked = False
        self.slot_health: SlotHealth | None = None
        """What the source keeps for us; None while nobody knows."""
        self.retention = RetentionAlarm()
        self.strong = Strong(metrics, strong, relayed=relayed)
        self._failure: BaseException | None = None

    def _passed(
        self, projection: str, stage: str, transactions: Sequence[Transaction], now: float
    ) -> None:
        for one in transactions:
            latency = max(0.0, now - one.committed)
            self._metrics.latency(projection, stage, latency, one.traceparent)
        if self._spans is not None and projection == PIPELINE:
            self._spans.passed(stage, transactions, now)

    def raise_failure(self) -> None:
        """Raise why nobody watches any longer: where the source is to keep nothing more for us
        RetentionLimitError.
        """  # noqa: D205 - one sentence
        if self._failure is not None:
            raise self._failure

    def nudge_soon(self) -> None:
        """Have the source write something, so that its position moves on even while it is idle."""
        self._nudge_asked = True
        self._awake.set()

    def stop(self) -> None:
        """Make the thread end."""
        self._ended.set()
        self._awake.set()

    def run(self) -> None:
        """Sample until stopped; a source that can't be reached is what makes the delay rise."""
        try:
            self._watch()
        except (RetentionLimitError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._failure = error
        self._clock.close()

    def _watch(self) -> None:
        failing = False
        while not self._ended.is_set():
            try:
                self._sample()
                failing = False
            except RetentionLimitError:
                raise
            except CdcError as error:
                if not failing:
                    log.warning("source_clock_lost", error=str(error))
                failing = True
                self.slot_health = None
                self.strong.lost()
                self._metrics.failed()
            self._awake.wait(SAMPLE_SECONDS)
            self._awake.clear()

    def _sample(self) -> None:
        self.delays.sampled(self._clock.sample())
        self._nudge_if_stuck()
        self.slot_health = self._clock.slot_health()
        if self.slot_health is not None:
            self._watch_retention(self.slot_health)
        self.strong.sampled(self._clock.standing())

    def _watch_retention(self, health: SlotHealth) -> None:
        """Say once that a step is reached, and once that it is over."""
        before = self.retention.step
        step = self.retention.sampled(health.retained_bytes, health.bounds)
        about = {
            "slot": health.name,
            "step": step.name.lower(),
            "retained_bytes": health.retained_bytes,
            "limit_bytes": health.bounds.limit_bytes,
        }
        if step > before:
            log.warning("retained_wal_high", **about)
        elif step < before:
            log.info("retained_wal_fell", **about)

    def _nudge_if_stuck(self) -> None:
        waiting = self.delays.unreceived
        if self._nudge_asked:
            self._nudge_asked = False
            self._nudge()
        if waiting is None or time.monotonic() - waiting.taken < NUDGE_AFTER_SECONDS:
            return
        if self._nudged == waiting.position:
            return
        self._nudged = waiting.position
        self._nudge()

    def _nudge(self) -> None:
        try:
            self._clock.nudge()
        except RetryError as error:
            self._nudged = None
            log.debug("nudge_failed", error=str(error))
