"""What the daemon says of itself on /metrics, as rates and percentiles of any stretch of time."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prometheus_client.parser import text_string_to_metric_families

from cdc_daemon.outside.page import read_page
from cdc_daemon.outside.percentiles import Percentiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client.samples import Sample

STAGES: Final = ("received", "projected", "indexed", "searchable")

HEADLINE: Final = ("", "searchable")
"""Projection and stage: all read models together."""


@dataclass(slots=True)
class Reading:
    """One scrape. Everything but the delay and the states grows from 0."""

    taken: float
    """Monotonic seconds."""
    committed: int = 0
    """Transactions that the workload had made by then."""
    documents: int = 0
    loaded_rows: int = 0
    dead_letters: int = 0
    delay: float | None = None
    """How far searches are behind the source, in seconds."""
    state: str = ""
    buckets: dict[str, Counter[float]] = field(
        default_factory=lambda: {stage: Counter() for stage in STAGES}
    )
    """By stage: how many transactions took at most so many seconds."""


def read(url: str, taken: float) -> Reading | None:
    """Scrape the metrics at `url`; None when nobody answers."""
    text = read_page(url)
    return None if text is None else parse(text, taken)


def parse(text: str, taken: float) -> Reading:
    """What a scrape says."""
    reading = Reading(taken)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            _take(reading, sample)
    return reading


def _take(reading: Reading, sample: Sample) -> None:
    labels, value = sample.labels, sample.value
    match sample.name:
        case "cdc_end_to_end_latency_seconds_bucket" if not labels["projection"]:
            reading.buckets[labels["stage"]][float(labels["le"])] = int(value)
        case "cdc_documents_written_total":
            reading.documents += int(value)
        case "cdc_load_rows_total":
            reading.loaded_rows += int(value)
        case "cdc_dead_letters_total":
            reading.dead_letters += int(value)
        case "cdc_replication_delay_seconds" if (labels["projection"], labels["stage"]) == HEADLINE:
            reading.delay = value
        case "cdc_pipeline_state" if value:
            reading.state = labels["state"]


def merged(readings: Sequence[Reading]) -> Reading:
    """What several daemons that share the work say, as one: sums, and the largest delay."""
    together = Reading(readings[0].taken, state=readings[0].state)
    for one in readings:
        together.documents += one.documents
        together.loaded_rows += one.loaded_rows
        together.dead_letters += one.dead_letters
        for stage, counts in one.buckets.items():
            together.buckets[stage].update(counts)
    together.delay = max((one.delay for one in readings if one.delay is not None), default=None)
    return together


def stage_percentiles(first: Reading, last: Reading, stage: str) -> Percentiles:
    """Of the transactions that passed `stage` between two readings."""
    counts = last.buckets[stage].copy()
    counts.subtract(first.buckets[stage])
    return Percentiles(quantile(counts, 0.5), quantile(counts, 0.99))


def quantile(counts: Counter[float], share: float) -> float | None:
    """The latency that `share` of them don't exceed, interpolated as Prometheus does it.

    `counts`: for each upper bound how many are at or below it.
    """
    bounds = sorted(counts)
    total = counts[math.inf]
    if not total:
        return None
    wanted, below, lower = share * total, 0, 0.0
    for bound in bounds:
        if counts[bound] >= wanted and bound != math.inf:
            within = (wanted - below) / (counts[bound] - below) if counts[bound] > below else 1.0
            return lower + (bound - lower) * within
        if bound != math.inf:
            below, lower = counts[bound], bound
    return lower
