"""The delay of every stage: told by the threads that get further, read by those that show it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from cdc_daemon.consistency.delay import Sample, StageDelay
from cdc_daemon.consistency.latency import Transaction
from cdc_daemon.consistency.offset import ClockOffset
from cdc_daemon.events import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cdc_daemon.events import Position
    from cdc_daemon.ports import ClockSample

STAGES: Final = ("received", "projected", "indexed", "searchable")
"""In this order: read from the source; made documents of; durable; found by a search."""
READ_MODEL_STAGES: Final = ("indexed", "searchable")
"""In these, one read model can be ahead of others: all are received and projected together."""
PIPELINE: Final = ""
"""In place of a projection: all read models together."""


class Reading(NamedTuple):
    """What is known of one stage at one moment. None: not yet."""

    projection: str
    stage: str
    delay: float | None
    maximum: float | None
    """The largest delay of the last minute."""
    bound: float | None
    """The delay is no more than this, whatever happened between two samples."""
    watermark: float | None
    """Everything committed until this source time has passed the stage."""


Observer: TypeAlias = "Callable[[str, str, Sequence[Transaction], float], None]"
"""Gets a projection, a stage, and the transactions that have passed it, at a monotonic time."""


class Delays:
    """Of one pipeline. Any thread calls it."""

    def __init__(self, passed: Observer) -> None:
        self._lock = threading.Lock()
        self._passed = passed
        self._stages = {(PIPELINE, stage): StageDelay() for stage in STAGES}
        self._last: Transaction | None = None
        """The one that was received last; None where it came before."""
        self._offset = ClockOffset()
        """The source's clock minus our monotonic one: it goes on evenly when ours is set."""

    def sampled(self, reading: ClockSample) -> None:
        """The source was asked for its time and position: the answer has come just now."""
        now = time.monotonic()
        error_seconds = reading.round_trip_seconds / 2
        taken = now - error_seconds
        with self._lock:
            self._offset.measured(reading.source_time - taken, error_seconds)
            for stage in self._stages.values():
                stage.sampled(Sample(taken, reading.source_time, reading.position), now)

    def committed(
        self,
        position: Position,
        source_time: float,
        traceparent: str = "",
        *,
        start: Position = NOWHERE,
    ) -> None:
        """A transaction was received: its commit time is in the source's clock.

        `start`: nothing else was committed from the one before it up to there.
        """
        with self._lock:
            self._last = None
            received = self._stages[PIPELINE, "received"].position
            if position <= received:
                return  # it came before, on a connection that was lost
            offset = self._offset.seconds
            if offset is None:  # there was no sample yet: as if both had the same time
                offset = time.time() - time.monotonic()
            committed = source_time - offset
            self._last = Transaction(position, committed, traceparent, max(start, received))
            for stage in STAGES:
                self._stages[PIPELINE, stage].committed(self._last)
            self._reached(PIPELINE, "received", position, time.monotonic())

    def changes(self, projections: Iterable[str]) -> None:
        """The transaction that was received last changes documents of these."""
        with self._lock:
            if self._last is None:
                return
            for projection in projections:
                for stage in READ_MODEL_STAGES:
                    if (known := self._stages.get((projection, stage))) is not None:
                        known.committed(self._last)

    def advanced(self, **stages: Position) -> None:
        """The stages have reached these positions, all read models together."""
        with self._lock:
            now = time.monotonic()
            for stage, position in stages.items():
                self._reached(PIPELINE, stage, position, now)

    def each_advanced(self, reached: Mapping[str, tuple[Position, Position]]) -> None:
        """By read model: up to where it is indexed and searchable. Others aren't searched yet."""
        with self._lock:
            now = time.monotonic()
            for projection, stage in list(self._stages):
                if projection != PIPELINE and projection not in reached:
                    del self._stages[projection, stage]
            for projection, positions in reached.items():
                for stage, position in zip(READ_MODEL_STAGES, positions, strict=True):
                    self._stages.setdefault((projection, stage), StageDelay())
                    self._reached(projection, stage, position, now)

    def _reached(self, projection: str, stage: str, position: Position, now: float) -> None:
        passed = self._stages[projection, stage].reached(position, now)
        if passed:
            self._passed(projection, stage, passed, now)

    def delay(self, stage: str = "searchable", projection: str = PIPELINE) -> float | None:
        """Seconds that the stage is behind the source, now.

        None before the first sample, and of a read model that isn't searched yet.
        """
        with self._lock:
            known = self._stages.get((projection, stage))
            return None if known is None else known.delay(time.monotonic())

    def readings(self) -> list[Reading]:
        """What is known of each stage, now."""
        with self._lock:
            now = time.monotonic()
            return [
                Reading(
                    projection=projection,
                    stage=stage,
                    delay=known.delay(now),
                    maximum=known.maximum(now),
                    bound=known.bound(now),
                    watermark=known.watermark,
                )
                for (projection, stage), known in self._stages.items()
            ]

    def position(self, stage: str) -> Position:
        """The stage has everything up to here, of all read models."""
        return self._stages[PIPELINE, stage].position

    @property
    def unreceived(self) -> Sample | None:
        """The oldest sample whose position was not received."""
        with self._lock:
            return self._stages[PIPELINE, "received"].oldest_waiting

    @property
    def clock_offset_seconds(self) -> float | None:
        """The source's clock minus ours, as it is now; None before the first sample."""
        offset = self._offset.seconds
        return None if offset is None else offset - (time.time() - time.monotonic())

    @property
    def clock_error_seconds(self) -> float:
        """By how much that can be wrong."""
        return self._offset.error_seconds
