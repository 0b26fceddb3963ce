"""Spans of transactions that bring a trace context: from the commit to each stage, for a collector.

An extra (`otel`), imported only where `tracing` is configured. A collector that is away costs
spans, and nothing else: they wait in a bounded queue, for a thread of the library.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

    from cdc_daemon.config.models import TracingConfig
    from cdc_daemon.consistency.latency import Transaction
    from cdc_daemon.events import Position

SERVICE: Final = "cdc-daemon"
LAST_STAGE: Final = "searchable"
MOST_OPEN: Final = 10_000
"""Transactions of which spans will be made; in a backlog the others have none."""
EXPORT_SECONDS: Final = 2.0
"""How long the collector may take, so that a stop isn't held up for longer."""
_SAMPLED: Final = 1


class _Open(NamedTuple):
    """A transaction that isn't searchable yet."""

    transaction: Transaction
    stages: dict[str, float]
    """When it passed which, in monotonic seconds."""


class Spans:
    """Of one pipeline. `passed` is called by whoever holds the lock of the delays."""

    def __init__(self, config: TracingConfig, pipeline: str) -> None:
        self._pipeline = pipeline
        self._provider = _provider(config.endpoint)
        self._tracer = self._provider.get_tracer(SERVICE)
        self._open: dict[Position, _Open] = {}

    def passed(self, stage: str, transactions: Sequence[Transaction], now: float) -> None:
        """These have passed the stage, all read models together."""
        for one in transactions:
            if one.position in self._open:
                self._open[one.position].stages[stage] = now
            elif stage != LAST_STAGE and _is_sampled(one) and len(self._open) < MOST_OPEN:
                self._open[one.position] = _Open(one, {stage: now})
        if stage == LAST_STAGE:
            self._end_up_to(transactions[-1].position, now)

    def _end_up_to(self, position: Position, now: float) -> None:
        """All of them have passed it; of a backlog not each is told."""
        for ended in [at for at in self._open if at <= position]:
            self._make(self._open.pop(ended), now)

    def _make(self, ended: _Open, now: float) -> None:
        """One span from commit to searchable, and in it one for the way to each stage."""
        from opentelemetry.trace import SpanKind, set_span_in_context  # noqa: PLC0415 - the extra

        transaction = ended.transaction
        to_wall = time.time() - time.monotonic()
        begins = _nanoseconds(transaction.committed + to_wall)
        whole = self._tracer.start_span(
            "replicate",
            context=_context(transaction.traceparent),
            kind=SpanKind.CONSUMER,
            start_time=begins,
            attributes={
                "cdc_daemon.pipeline": self._pipeline,
                "cdc_daemon.position": transaction.position,
            },
        )
        inside = set_span_in_context(whole)
        for stage, passed in ended.stages.items():
            ends = max(begins, _nanoseconds(passed + to_wall))
            self._tracer.start_span(stage, context=inside, start_time=begins).end(ends)
            begins = ends
        whole.end(max(begins, _nanoseconds(now + to_wall)))

    def close(self) -> None:
        """Send what waits, if the collector takes it soon."""
        self._provider.shutdown()


def _provider(endpoint: str) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - the extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - the extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - the extra
    except ImportError as error:
        raise StopError(
            "`tracing` needs packages that aren't installed: pip install 'cdc-daemon[otel]', or "
            "take it out of the configuration"
        ) from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _is_sampled(transaction: Transaction) -> bool:
    """Whether whoever began the trace records it."""
    flags = transaction.traceparent.rpartition("-")[2]
    return bool(flags) and bool(int(flags, 16) & _SAMPLED)


def _context(traceparent: str) -> Context:
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - the extra
        TraceContextTextMapPropagator,
    )

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
