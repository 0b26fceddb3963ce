"""The delay as metrics, computed at the moment of the scrape: it rises even when all else hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cdc_daemon.consistency.monitor import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from cdc_daemon.consistency.monitor import Monitor
    from cdc_daemon.ports import SlotHealth


class DelayCollector(Collector):
    """Collects from a `Monitor`."""

    def __init__(self, monitor: Monitor, pipeline: str) -> None:
        self._monitor = monitor
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        """The delay, its maximum, the watermark and the clock offset, as of now."""
        monitor = self._monitor
        yield self._by_stage(
            "cdc_replication_delay_seconds", "How far the stage is behind the source", monitor.delay
        )
        yield self._by_stage(
            "cdc_replication_delay_max_seconds", "The largest of the last minute", monitor.maximum
        )
        yield self._by_stage(
            "cdc_watermark_timestamp_seconds",
            "Source time up to which everything has passed the stage",
            monitor.watermark,
        )
        offset = GaugeMetricFamily(
            "cdc_source_clock_offset_seconds", "The source's clock minus ours", labels=["pipeline"]
        )
        if monitor.clock_offset_seconds is not None:
            offset.add_metric([self._pipeline], monitor.clock_offset_seconds)
        yield offset
        health = monitor.slot_health  # once: its thread may forget it at any moment
        if health is not None:
            yield from self._slot(health)

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

    def _by_stage(
        self, name: str, meaning: str, value_of: Callable[[str], float | None]
    ) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, meaning, labels=["pipeline", "stage"])
        for stage in STAGES:
            value = value_of(stage)
            if value is not None:
                family.add_metric([self._pipeline, stage], value)
        return family
