"""A transaction's trace, from the application to the latencies of its read model."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import psycopg
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def examples(daemon: RunningDaemon) -> set[tuple[str, str, str, str]]:
    """Projection, stage, trace and span of each example that the latencies have."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{daemon.url}/metrics",
        headers={"accept": "application/openmetrics-text; version=1.0.0"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        text = answer.read().decode()
    found = set()
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]  # no types there
        for sample in family.samples:
            if sample.exemplar is not None:
                shown = sample.exemplar.labels
                labels = (sample.labels["projection"], sample.labels["stage"])
                found.add((*labels, shown["trace_id"], shown["span_id"]))
    return found


def test_latencies_have_the_trace_as_an_example(
    database: Database, start_daemon: StartDaemon
) -> None:
    """At each stage, and of the read model that the transaction has changed: no other."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("create table item (id int primary key)")
        connection.execute("create table other (id int primary key)")
    daemon = start_daemon(
        {
            name: {"from": table, "fields": "*"}
            for name, table in (("items", "item"), ("others", "other"))
        },
        source={"trace": {"messages": True}},
    )
    daemon.wait_until("streaming")
    daemon.catch_up()
    with psycopg.connect(database.dsn) as connection:
        connection.execute(
            "select pg_logical_emit_message(true, 'traceparent', %s)", [f"00-{TRACE}-{SPAN}-01"]
        )
        connection.execute("insert into item values (1)")
    until(lambda: ("items", "searchable", TRACE, SPAN) in examples(daemon), 60, "it is there")
    stages = {(projection, stage) for projection, stage, *_ in examples(daemon)}
    whole = {("", stage) for stage in ("received", "projected", "indexed", "searchable")}
    assert stages == whole | {("items", "indexed"), ("items", "searchable")}
