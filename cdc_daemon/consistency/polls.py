"""What polls of the source have come to, as metrics and for the status."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from cdc_daemon.ports import Polling, PollReport


class PollCollector(Collector):
    """Collects from a source that polls."""

    def __init__(self, source: Polling, pipeline: str) -> None:
        self._source = source
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        """How many, what they have read and found, and when."""
        report = self._source.poll_report()
        for name, meaning, total in (
            ("cdc_polls", "Polls that are over", report.polls),
            ("cdc_polls_missed", "Polls that another one kept from beginning", report.missed),
            ("cdc_poll_rows_read", "Rows read by polls", report.rows_read),
            ("cdc_poll_rows_changed", "Changes found among them", report.rows_changed),
        ):
            counter = CounterMetricFamily(name, meaning, labels=["pipeline"])
            counter.add_metric([self._pipeline], total)
            yield counter
        for name, meaning, value in (
            ("cdc_poll_seconds", "How long the last poll took", report.seconds),
            ("cdc_poll_started_timestamp_seconds", "When the last poll began", report.started_at),
            ("cdc_poll_next_timestamp_seconds", "When the next poll begins", report.next_at),
        ):
            if value is not None:
                gauge = GaugeMetricFamily(name, meaning, labels=["pipeline"])
                gauge.add_metric([self._pipeline], value)
                yield gauge


def polls_shown(report: PollReport) -> dict[str, Any]:
    """As JSON."""
    return asdict(report)
