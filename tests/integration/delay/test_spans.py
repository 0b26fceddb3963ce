"""Spans of a transaction, as a collector gets them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.integration.pipeline.conftest import StartDaemon

trace_service = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="the extra otel"
)
TRACE = "0af7651916cd43dd8448eb211c80319c"
UNSAMPLED = "1af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
STAGES = ["received", "projected", "indexed", "searchable"]


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """Its address, and the spans that it gets."""
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            request = trace_service.ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_transaction_has_a_span_with_one_for_each_stage(
    database: Database, start_daemon: StartDaemon
) -> None:
    """Children of the application's own span; one that isn't sampled there has none here."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("create table item (id int primary key)")
    with collector() as (endpoint, spans):
        daemon = start_daemon(
            {"items": {"from": "item", "fields": "*"}},
            source={"trace": {"messages": True}},
            tracing={"endpoint": endpoint},
        )
        daemon.wait_until("streaming")
        emit = "select pg_logical_emit_message(true, 'traceparent', %s)"
        for row, (trace, sampled) in enumerate(((UNSAMPLED, "00"), (TRACE, "01"))):
            with psycopg.connect(database.dsn) as connection:
                connection.execute(emit, [f"00-{trace}-{SPAN}-{sampled}"])
                connection.execute("insert into item values (%s)", [row])
        daemon.catch_up()
        assert daemon.terminate() == 0
        until(lambda: len(spans) > len(STAGES), 60, "the spans have come")
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    (whole,) = (span for span in spans if span.name == "replicate")
    assert whole.parent_span_id.hex() == SPAN
    children = sorted(
        (span for span in spans if span is not whole), key=lambda span: STAGES.index(span.name)
    )
    assert [span.name for span in children] == STAGES
    assert {span.parent_span_id for span in children} == {whole.span_id}
    times = [whole.start_time_unix_nano, *(span.end_time_unix_nano for span in children)]
    assert times == sorted(times)
    assert [span.start_time_unix_nano for span in children] == times[:-1]
    assert whole.end_time_unix_nano == times[-1]


def test_a_collector_that_is_away_holds_nothing_up(
    database: Database, start_daemon: StartDaemon
) -> None:
    """Spans are lost, and the read model is as true as ever."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("create table item (id int primary key)")
    with collector() as (endpoint, _):
        pass
    daemon = start_daemon(
        {"items": {"from": "item", "fields": "*"}},
        source={"trace": {"messages": True}},
        tracing={"endpoint": endpoint},
    )
    daemon.wait_until("streaming")
    with psycopg.connect(database.dsn) as connection:
        connection.execute(
            "select pg_logical_emit_message(true, 'traceparent', %s)", [f"00-{TRACE}-{SPAN}-01"]
        )
        connection.execute("insert into item values (1)")
    daemon.catch_up()
    assert daemon.terminate() == 0
