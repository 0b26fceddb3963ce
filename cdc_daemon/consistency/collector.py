"""The delay as metrics, computed at the moment of the scrape: it rises even when all else hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from cdc_daemon.consistency.delays import Reading
    from cdc_daemon.consistency.freshness import Freshness
    from cdc_daemon.consistency.monitor import Monitor
    from cdc_daemon.ports import SlotHealth


class DelayCollector(Collector):
    """Collects from a `Monitor`."""

    def __init__(self, monitor: Monitor, pipeline: str) -> None:
        self._monitor = monitor
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        """The delay, its maximum, the watermark and the clock offset, as of now."""
        monitor, delays = self._monitor, self._monitor.delays
        yield from self._stages(delays.readings())
        yield from self._clock(delays.clock_offset_seconds, delays.clock_error_seconds)
        health = monitor.slot_health  # once: its thread may forget it at any moment
        if health is not None:
            yield from self._slot(health)

    def _stages(self, readings: Sequence[Reading]) -> Iterator[Metric]:
        for name, meaning, known in (
            ("replication_delay", "How far the stage is behind the source", "delay"),
            ("replication_delay_max", "The largest of the last minute", "maximum"),
            ("replication_delay_bound", "What it can be at most", "bound"),
            (
                "watermark_timestamp",
                "Source time up to which everything has passed the stage",
                "watermark",
            ),
        ):
            labels = ["pipeline", "projection", "stage"]
            family = GaugeMetricFamily(f"cdc_{name}_seconds", meaning, labels=labels)
            for reading in readings:
                value = getattr(reading, known)
                if value is not None:
                    family.add_metric([self._pipeline, reading.projection, reading.stage], value)
            yield family

    def _clock(self, offset_seconds: float | None, error_seconds: float) -> Iterator[Metric]:
        """Left out before the source's clock was read."""
        for name, meaning, value in (
            ("offset", "The source's clock minus ours", offset_seconds),
            ("offset_error", "By how much the offset can be wrong", error_seconds),
        ):
            family = GaugeMetricFamily(
                f"cdc_source_clock_{name}_seconds", meaning, labels=["pipeline"]
            )
            if value is not None and offset_seconds is not None:
                family.add_metric([self._pipeline], value)
            yield family

    def _slot(self, health: SlotHealth) -> Iterator[Metric]:
        """Left out, and not frozen, while the source can't be asked."""
        limit = health.bounds.limit_bytes
        left = None if limit is None else limit - health.retained_bytes
        for name, meaning, value in (
            ("retained_wal_bytes", "WAL kept because of the slot", health.retained_bytes),
            ("unconfirmed_wal_bytes", "WAL that is not confirmed yet", health.unconfirmed_bytes),
            ("safe_wal_bytes", "WAL until the slot is lost", health.safe_bytes),
            ("wal_left_bytes", "WAL until the limit of the configuration", left),
            ("wal_step", "Which step the kept WAL has reached", int(self._monitor.retention.step)),
            ("active", "Whether the slot is followed", int(health.active)),
        ):
            if value is not None:
                family = GaugeMetricFamily(f"cdc_slot_{name}", meaning, labels=["pipeline", "slot"])
                family.add_metric([self._pipeline, health.name], value)
                yield family


class FreshnessCollector(Collector):
    """Collects from a `Freshness`."""

    def __init__(self, freshness: Freshness, pipeline: str) -> None:
        self._freshness = freshness
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        """What is wanted of each read model, and what was achieved."""
        known = self._freshness.achieved()
        for name, meaning, value in (
            ("cdc_freshness_seconds", "As configured", "configured"),
            ("cdc_freshness_achieved_seconds", "The longest wait of the last minute", "achieved"),
        ):
            family = GaugeMetricFamily(name, meaning, labels=["pipeline", "projection"])
            for one in known:
                family.add_metric([self._pipeline, one.projection], getattr(one, value))
            yield family
