"""The backfill as metrics, as of the moment of the scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from cdc_daemon.backfill.backfill import Backfill


class BackfillCollector(Collector):
    """Collects from a `Backfill`."""

    def __init__(self, backfill: Backfill, pipeline: str) -> None:
        self._backfill = backfill
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        """How far each table is, and what is held in memory."""
        backfill = self._backfill
        progress = GaugeMetricFamily(
            "cdc_backfill_progress_ratio",
            "How much of the table is read and durable",
            labels=["pipeline", "table"],
        )
        shares: dict[str, float] = {}
        for load in backfill.loads:
            table = load.relation.qualified_name
            shares[table] = min(load.share_done, shares.get(table, 1.0))
        for table, share in shares.items():
            progress.add_metric([self._pipeline, table], share)
        yield progress
        for name, meaning, value in (
            ("chunks", "Chunks being read, or not yet in the sink", backfill.chunks_out),
            ("remembered_documents", "Documents touched beside chunks", backfill.ids_remembered),
            ("paused", "Whether reading is paused", int(backfill.is_paused)),
        ):
            family = GaugeMetricFamily(f"cdc_backfill_{name}", meaning, labels=["pipeline"])
            family.add_metric([self._pipeline], value)
            yield family
