"""Watches a running pipeline: samples the source's clock, and knows every stage's delay."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.consistency.delay import SAMPLE_SECONDS, Sample, StageDelay
from cdc_daemon.consistency.latency import StageLatency
from cdc_daemon.consistency.retention import RetentionAlarm
from cdc_daemon.consistency.strong import Strong
from cdc_daemon.errors import CdcError, RetentionLimitError, RetryError

if TYPE_CHECKING:
    from cdc_daemon.events import Position
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import ClockSample, SlotHealth, SourceClock

log = structlog.get_logger(__name__)

STAGES: Final = ("received", "indexed", "searchable")
NUDGE_AFTER_SECONDS: Final = 2.0
"""A sample that nothing is pending for and that still isn't reached lies inside a log record that
stays half flushed while the source is idle: then one message is written to the log."""

_OFFSET_SMOOTHING: Final = 0.2


class Monitor(threading.Thread):
    """One thread that samples; any thread tells it how far the stages are."""

    def __init__(self, clock: SourceClock, metrics: Metrics, *, strong: bool = False) -> None:
        """`strong`: commits of the source are expected to wait for us."""
        super().__init__(name="clock", daemon=True)
        self._clock = clock
        self._metrics = metrics
        self._lock = threading.Lock()
        self._delays = {stage: StageDelay() for stage in STAGES}
        self._latencies = {stage: StageLatency() for stage in STAGES}
        self._ended = threading.Event()  # not `_stop`: threads have a method of that name
        self._awake = threading.Event()
        self._nudged: Position | None = None
        self._nudge_asked = False
        self.clock_offset_seconds: float | None = None
        """The source's clock minus ours; what commit times are compared through."""
        self.clock_error_seconds: float | None = None
        self.slot_health: SlotHealth | None = None
        """What the source keeps for us; None while nobody knows."""
        self.retention = RetentionAlarm()
        self.strong = Strong(metrics, expected=strong)
        self._failure: RetentionLimitError | None = None

    def committed(self, position: Position, source_time: float) -> None:
        """A transaction was read: its commit time is in the source's clock."""
        here = source_time - (self.clock_offset_seconds or 0.0)
        with self._lock:
            for latency in self._latencies.values():
                latency.committed(position, here)
        self.strong.committed(position, here)

    def advanced(self, **stages: Position) -> None:
        """The stages have reached these positions."""
        now, wall = time.monotonic(), time.time()
        with self._lock:
            for stage, position in stages.items():
                self._delays[stage].reached(position, now)
                passed = self._latencies[stage].passed(position, wall)
                if passed:
                    self._metrics.latency(stage, passed)

    def delay(self, stage: str = "searchable") -> float | None:
        """Seconds that the stage is behind the source, now; None before the first sample."""
        with self._lock:
            return self._delays[stage].delay(time.monotonic())

    def maximum(self, stage: str = "searchable") -> float | None:
        """The largest delay of the last minute."""
        with self._lock:
            return self._delays[stage].maximum(time.monotonic())

    def watermark(self, stage: str = "searchable") -> float | None:
        """Everything committed until this source time has passed the stage."""
        with self._lock:
            return self._delays[stage].watermark

    def raise_failure(self) -> None:
        """Raise why the source is to keep nothing for us any longer, if it is so."""
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
        failing = False
        while not self._ended.is_set():
            try:
                self._sample()
                failing = False
            except RetentionLimitError as error:
                self._failure = error
                break
            except CdcError as error:
                if not failing:
                    log.warning("source_clock_lost", error=str(error))
                failing = True
                self.slot_health = None
                self.strong.lost()
                self._metrics.failed()
            self._awake.wait(SAMPLE_SECONDS)
            self._awake.clear()
        self._clock.close()

    def _sample(self) -> None:
        reading = self._clock.sample()
        taken = time.monotonic() - reading.round_trip_seconds / 2
        self._measure_offset(reading)
        with self._lock:
            for delay in self._delays.values():
                delay.sampled(
                    Sample(taken, reading.source_time, reading.position), time.monotonic()
                )
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

    def _measure_offset(self, reading: ClockSample) -> None:
        offset = reading.source_time - (time.time() - reading.round_trip_seconds / 2)
        known = self.clock_offset_seconds
        self.clock_error_seconds = reading.round_trip_seconds / 2
        if known is None or abs(offset - known) > 1:
            self.clock_offset_seconds = offset
        else:
            self.clock_offset_seconds = known + _OFFSET_SMOOTHING * (offset - known)

    def _nudge_if_stuck(self) -> None:
        with self._lock:
            waiting = self._delays["received"].oldest_waiting
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
