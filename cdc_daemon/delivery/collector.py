"""How far each of several sinks is, as metrics, computed at the moment of the scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from cdc_daemon.delivery.eachsink import EachSink


class SinkCollector(Collector):
    """Collects from an `EachSink`."""

    def __init__(self, sinks: EachSink, pipeline: str) -> None:
        self._sinks = sinks
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        """What waits for each, how far it is behind, and whether positions wait for it."""
        by_stage = ["pipeline", "sink", "stage"]
        delay = GaugeMetricFamily(
            "cdc_sink_delay_seconds", "How far it is behind the source", labels=by_stage
        )
        holds_back = GaugeMetricFamily(
            "cdc_sink_holds_back", "Whether positions wait for it", labels=by_stage
        )
        queue = GaugeMetricFamily(
            "cdc_sink_queue_bytes", "Waiting for it", labels=["pipeline", "sink"]
        )
        for one in self._sinks.reports():
            for stage in one.positions:
                holds_back.add_metric([self._pipeline, one.name, stage], stage in one.holds_back)
            for stage, seconds in one.delays.items():
                delay.add_metric([self._pipeline, one.name, stage], seconds)
            queue.add_metric([self._pipeline, one.name], one.queue_bytes)
        yield from (delay, holds_back, queue)
