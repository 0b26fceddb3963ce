"""The metrics, by name: what they mean is in docs/reference/metrics.md, and a test compares."""

from __future__ import annotations

import platform
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from cdc_daemon import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and say nothing that the counters don't

LATENCY_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
REQUEST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
WAIT_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
STATES: Final = ("starting", "standby", "loading", "streaming", "waiting", "stopping")


class Metrics:
    """All metrics of one pipeline, in a registry of their own. Methods are thread-safe."""

    def __init__(self, pipeline: str, queue_limit_bytes: int) -> None:
        self.registry = CollectorRegistry()
        self.pipeline = pipeline
        build = self._gauge("cdc_build_info", "Version of the daemon", "version", "python")
        build.labels(__version__, platform.python_version()).set(1)
        self._config = self._gauge("cdc_config_info", "Configuration", "pipeline", "fingerprint")
        self._changes = self._counter(
            "cdc_changes_received_total", "Changes read", "pipeline", "table", "operation"
        )
        self._transactions = self._counter(
            "cdc_transactions_received_total", "Transactions read", "pipeline"
        ).labels(pipeline)
        self._documents = self._counter(
            "cdc_documents_written_total",
            "Document operations answered by the sink",
            *("pipeline", "projection", "operation", "result"),
        )
        self._bulk = self._histogram(
            "cdc_bulk_request_duration_seconds", "Time of a bulk request", REQUEST_BUCKETS, "sink"
        )
        self._bulk_retries = self._counter(
            "cdc_bulk_retries_total", "Bulk requests sent again", "pipeline", "sink", "reason"
        )
        self._refresh = self._histogram(
            "cdc_refresh_duration_seconds", "Time of a refresh", REQUEST_BUCKETS, "sink"
        )
        self.queue_bytes, self.background_request_bytes = (
            self._gauge("cdc_queue_bytes", "Waiting for the sink", "pipeline"),
            self._gauge("cdc_background_request_bytes", "What yields to changes", "pipeline"),
        )
        self._gauge("cdc_queue_limit_bytes", "Most that may wait", "pipeline").labels(pipeline).set(
            queue_limit_bytes
        )
        self._spilled = self._counter(
            "cdc_transaction_spilled_bytes_total", "Folded on disk", "pipeline"
        ).labels(pipeline)
        self._streamed, self._held, self.documents_unfilled = (
            self._gauge(name, meaning, "pipeline").labels(pipeline)
            for name, meaning in (
                ("cdc_transactions_streamed", "Read in parts before they end"),
                ("cdc_transactions_held_bytes", "Folded, and not committed"),
                ("cdc_documents_unfilled", "Waiting for a value that the source left out"),
            )
        )
        self._dead_letters = self._counter(
            "cdc_dead_letters_total", "Dead letters stored", "pipeline", "projection", "reason"
        )
        self.dead_letters_stored = self._gauge(
            "cdc_dead_letters_stored", "Dead letters there are", "pipeline"
        )
        self._unrepresentable = self._counter(
            "cdc_unrepresentable_values_total",
            "Values that became null because their field can't hold them",
            *("pipeline", "projection", "field"),
        )
        self._state = self._gauge(
            "cdc_pipeline_state", "1 for the state it is in", "pipeline", "state"
        )
        self._schema_changes = self._counter(
            "cdc_schema_changes_total",
            "Times that the mappings were compiled anew in place",
            *("pipeline", "table"),
        )
        self._reconnects = self._counter(
            "cdc_reconnects_total", "Connections made again", "pipeline", "side"
        )
        self._loaded, self._read_too_early = (
            self._counter("cdc_load_rows_total", "Existing rows loaded", "pipeline", "projection"),
            self._counter(
                "cdc_backfill_chunks_refused_total",
                "Chunks that don't see a commit which the stream has shown",
                "pipeline",
            ).labels(pipeline),
        )
        self._assembled = self._counter(
            "cdc_documents_assembled_total",
            "Documents of joined read models made from the state",
            *("pipeline", "projection"),
        )
        self._unchanged = self._counter(
            "cdc_state_rows_unchanged_total", "Rows written as they were kept already", "pipeline"
        ).labels(pipeline)
        self._states_lost = self._counter(
            "cdc_states_lost_total", "States given up, and loaded anew", "pipeline"
        ).labels(pipeline)
        self._last_error = self._gauge(
            "cdc_last_error_timestamp_seconds", "When the last error happened", "pipeline"
        ).labels(pipeline)
        latency = Histogram(
            "cdc_end_to_end_latency_seconds",
            "Per transaction, from its commit until the stage has passed it",
            ["pipeline", "projection", "stage"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        # Kept: looking one up costs as much as all the rest, and each transaction does it often.
        self._latency_of = cache(partial(latency.labels, pipeline))
        self._add_waits(pipeline)

    def _add_waits(self, pipeline: str) -> None:
        """What commits and requests wait for."""
        self._strong_active = self._gauge(
            "cdc_strong_active",
            "Whether commits wait for us, until they are searchable or relayed",
            "pipeline",
        )
        self._strong_commit = self._histogram(
            "cdc_strong_commit_seconds",
            "From reading a commit until the source was told that it is searchable",
            REQUEST_BUCKETS,
        ).labels(pipeline)
        self.waiters = self._gauge(
            "cdc_waiters", "Requests that wait for searches", "pipeline"
        ).labels(pipeline)
        self._waits = Histogram(
            "cdc_wait_seconds",
            "How long requests waited for searches",
            ["pipeline", "policy", "outcome"],
            buckets=WAIT_BUCKETS,
            registry=self.registry,
        )
        self._add_posts()

    def _add_posts(self) -> None:
        """What applications post."""
        self._posts = Histogram(
            "cdc_post_duration_seconds",
            "Time of a request that posts changes",
            ["pipeline", "outcome"],
            buckets=WAIT_BUCKETS,
            registry=self.registry,
        )
        self._posted_transactions = self._counter(
            "cdc_posted_transactions_total",
            "Transactions that applications have posted",
            *("pipeline", "outcome"),
        )
        self._add_relay()

    def _add_relay(self) -> None:
        """What is passed on as it is."""
        self._relay_bytes = self._counter(
            "cdc_relay_bytes_total", "Keys and values written to the relay", "pipeline"
        )
        self._relay_settled = Histogram(
            "cdc_relay_settle_seconds",
            "Until what was written to the relay is durable, all at once",
            ["pipeline"],
            buckets=WAIT_BUCKETS,
            registry=self.registry,
        )
        self._relay_lost = self._counter(
            "cdc_relay_losses_total",
            "Topics that were found without all that was written to them",
            *("pipeline", "topic"),
        )
        self._relay_unreadable = self._counter(
            "cdc_relay_unreadable_changes_total",
            "Changes whose values can't be read any more, because their table was altered",
            *("pipeline", "table"),
        )

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: Sequence[float], *labels: str
    ) -> Histogram:
        """With the labels besides the pipeline."""
        every = ["pipeline", *labels]
        return Histogram(name, meaning, every, buckets=buckets, registry=self.registry)

    def configured(self, fingerprint: str) -> None:
        """Show which configuration runs."""
        self._config.labels(self.pipeline, fingerprint).set(1)

    def state(self, current: str) -> None:
        """Show what the pipeline does."""
        for state in STATES:
            self._state.labels(self.pipeline, state).set(state == current)

    def received(self, table: str, operation: str, count: int) -> None:
        """Count changes."""
        self._changes.labels(self.pipeline, table, operation).inc(count)

    def transaction(self) -> None:
        """Count a transaction."""
        self._transactions.inc()

    def wrote(self, projection: str, operation: str, result: str, count: int) -> None:
        """Count what became of document operations."""
        if count:
            self._documents.labels(self.pipeline, projection, operation, result).inc(count)

    def dead_letter(self, projection: str, reason: str, count: int = 1) -> None:
        """Count stored dead letters."""
        self._dead_letters.labels(self.pipeline, projection, reason).inc(count)

    def unrepresentable(self, projection: str, field: str) -> None:
        """Count a value that became null because its field can't hold it."""
        self._unrepresentable.labels(self.pipeline, projection, field).inc()

    def bulk_took(self, sink: str, seconds: float) -> None:
        """A bulk request was answered, or failed; `sink` is empty where there is one."""
        self._bulk.labels(self.pipeline, sink).observe(seconds)

    def bulk_retried(self, sink: str, reason: str) -> None:
        """A bulk request, or a part of it, is sent again."""
        self._bulk_retries.labels(self.pipeline, sink, reason).inc()

    def refreshed(self, sink: str, seconds: float) -> None:
        """A refresh returned."""
        self._refresh.labels(self.pipeline, sink).observe(seconds)

    def waited(self, policy: str, outcome: str, seconds: float) -> None:
        """A request that waited for searches was answered, or has left."""
        self._waits.labels(self.pipeline, policy, outcome).observe(seconds)

    def posted(self, outcome: str, seconds: float) -> None:
        """A request that posts changes was answered."""
        self._posts.labels(self.pipeline, outcome).observe(seconds)

    def posted_transactions(self, outcomes: Iterable[str]) -> None:
        """Count what became of transactions that were posted."""
        for outcome in outcomes:
            self._posted_transactions.labels(self.pipeline, outcome).inc()

    def spilled(self, size_bytes: int) -> None:
        """A part of a transaction went to disk."""
        self._spilled.inc(size_bytes)

    def open_transactions(self, streamed: int, held_bytes: int) -> None:
        """Show what is held of transactions that haven't ended."""
        self._streamed.set(streamed)
        self._held.set(held_bytes)

    def reconnected(self, side: str) -> None:
        """A connection was made again."""
        self._reconnects.labels(self.pipeline, side).inc()

    def schema_changed(self, table: str) -> None:
        """A start in place, because a table has changed, or of a relay: has left the stream."""
        self._schema_changes.labels(self.pipeline, table).inc()

    def loaded(self, projection: str, rows: int) -> None:
        """Existing rows were read."""
        self._loaded.labels(self.pipeline, projection).inc(rows)

    def read_too_early(self) -> None:
        """A chunk is read again: it doesn't see a commit that the stream has shown."""
        self._read_too_early.inc()

    def assembled(self, projection: str, count: int) -> None:
        """Documents were made from the state."""
        self._assembled.labels(self.pipeline, projection).inc(count)

    def unchanged(self, rows: int) -> None:
        """Rows were written that were in the state like that."""
        self._unchanged.inc(rows)

    def state_lost(self) -> None:
        """The state of joined read models can't be gone on with."""
        self._states_lost.inc()

    def latency(self, projection: str, stage: str, seconds: float, traceparent: str) -> None:
        """A transaction passed a stage; its trace is shown as an example of the latency."""
        histogram = self._latency_of(projection, stage)
        if traceparent:
            _, trace, span, _ = traceparent.split("-")
            histogram.observe(seconds, {"trace_id": trace, "span_id": span})
        else:
            histogram.observe(seconds)

    def strong(self, *, active: bool) -> None:
        """Whether commits wait for us; not shown where nobody expects it."""
        self._strong_active.labels(self.pipeline).set(active)

    def strong_commit(self, seconds: float) -> None:
        """The source was told that a commit is searchable, while commits wait for us."""
        self._strong_commit.observe(seconds)

    def relay_settled(self, size_bytes: int, seconds: float) -> None:
        """What was written to the relay is durable."""
        self._relay_bytes.labels(self.pipeline).inc(size_bytes)
        self._relay_settled.labels(self.pipeline).observe(seconds)

    def relay_lost(self, topic: str) -> None:
        """Count that something of what was written to a topic is gone."""
        self._relay_lost.labels(self.pipeline, topic).inc()

    def relay_unreadable(self, table: str) -> None:
        """Count a change that was passed on without its values."""
        self._relay_unreadable.labels(self.pipeline, table).inc()

    def failed(self) -> None:
        """Something went wrong just now."""
        self._last_error.set_to_current_time()
