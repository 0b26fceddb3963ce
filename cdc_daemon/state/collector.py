"""The state as metrics, as of its last sync: nobody but its own thread may look into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from cdc_daemon.state.store import Store


class StateCollector(Collector):
    """Collects from a `Store`."""

    def __init__(self, store: Store, pipeline: str) -> None:
        self._store = store
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        """How much is kept, what is pending, and what syncing takes."""
        figures = self._store.figures
        rows = GaugeMetricFamily(
            "cdc_state_rows", "Rows that are kept", labels=["pipeline", "table"]
        )
        for table, count in figures.rows.items():
            rows.add_metric([self._pipeline, table], count)
        yield rows
        for name, meaning, value in (
            ("pending_documents", "Documents that the sink doesn't have yet", figures.pending),
            ("fan_outs", "Groups of documents that aren't all pending yet", figures.fan_outs),
            ("used_bytes", "How much of the state's file has been used", figures.used_bytes),
            ("map_bytes", "How much the file may hold before its map grows", figures.map_bytes),
        ):
            gauge = GaugeMetricFamily(f"cdc_state_{name}", meaning, labels=["pipeline"])
            gauge.add_metric([self._pipeline], value)
            yield gauge
        for name, meaning, total in (
            ("syncs", "Times that the state was brought to disk", figures.syncs),
            ("sync_seconds", "Time that it took", figures.sync_seconds),
        ):
            counter = CounterMetricFamily(f"cdc_state_{name}", meaning, labels=["pipeline"])
            counter.add_metric([self._pipeline], total)
            yield counter
