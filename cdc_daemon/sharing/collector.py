"""What a replica has of the documents, as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from cdc_daemon.sharing.replica import Replica


class ReplicaCollector(Collector):
    """Collects from a `Replica`."""

    def __init__(self, replica: Replica, pipeline: str) -> None:
        self._replica = replica
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        """What is ours, how many we are, and how often that has changed."""
        shown = self._replica.show()
        for name, meaning, value in (
            ("slots", "Slots of documents that this replica writes", len(shown["slots"])),
            ("leads", "Whether this replica leads", shown["leads"]),
            ("members", "Replicas that share the documents", shown["members"]),
        ):
            gauge = GaugeMetricFamily(f"cdc_replica_{name}", meaning, labels=["pipeline"])
            gauge.add_metric([self._pipeline], value)
            yield gauge
        counter = CounterMetricFamily(
            "cdc_replica_rebalances", "Times that it was given other slots", labels=["pipeline"]
        )
        counter.add_metric([self._pipeline], shown["rebalances"])
        yield counter
