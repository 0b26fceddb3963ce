"""What a source of messages has read of them, as metrics and for the status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from cdc_daemon.ports import MessageReport, ReadsMessages


class MessageCollector(Collector):
    """Collects from a source of messages."""

    def __init__(self, source: ReadsMessages, pipeline: str) -> None:
        self._source = source
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        """How many, which were none, and what waits."""
        report = self._source.message_report()
        for name, meaning, total in (
            ("cdc_messages", "Messages read", report.messages),
            ("cdc_poison_messages", "Messages that were not understood", report.poison),
            ("cdc_incomplete_transactions", "Transactions shown in parts", report.incomplete),
            ("cdc_fallen_versions", "Messages of a lower version, committed later", report.fallen),
            ("cdc_rebalances", "Partitions that have come or gone", report.rebalances),
        ):
            counter = CounterMetricFamily(name, meaning, labels=["pipeline"])
            counter.add_metric([self._pipeline], total)
            yield counter
        labels = ["pipeline", "partition"]
        waiting = GaugeMetricFamily("cdc_messages_waiting", "Not read yet", labels=labels)
        behind = GaugeMetricFamily(
            "cdc_messages_behind_seconds",
            "Age of the last one read, where more wait",
            labels=labels,
        )
        for part in report.parts:
            waiting.add_metric([self._pipeline, part.name], part.waiting)
            behind.add_metric([self._pipeline, part.name], part.behind_seconds)
        yield from (waiting, behind)


def messages_shown(report: MessageReport) -> dict[str, Any]:
    """As JSON."""
    return {
        "messages": report.messages,
        "poison": report.poison,
        "incomplete": report.incomplete,
        "fallen": report.fallen,
        "rebalances": report.rebalances,
        "partitions": [part._asdict() for part in report.parts],
    }
