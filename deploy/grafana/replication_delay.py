"""The dashboard *Replication delay*, as code: `python deploy/generate.py` writes its JSON."""  # noqa: INP001  a script

from __future__ import annotations

import json
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.panels import DATASOURCE, Query, Text, graph, number, percentiles
from deploy.grafana.scaled_out import RELAY, REPLICAS

UID: Final = "cdc-replication-delay"
SEARCHABLE: Final = '{%s, projection="", stage="searchable"}'
"""The series of the headline: all read models together, as far as searches see."""

HEADLINE: Final = (
    number(
        Text(
            "Delay to searchable",
            "How old the answer to a search can be right now. It rises while anything hangs.",
            "s",
        ),
        Query(f"max by (pipeline) (cdc_replication_delay_seconds{SEARCHABLE})"),
        ((2, "yellow"), (10, "red")),
    ),
    number(
        Text(
            "Worst of the last minute",
            "The daemon keeps this maximum itself, so that no spike falls between two scrapes.",
            "s",
        ),
        Query(f"max by (pipeline) (cdc_replication_delay_max_seconds{SEARCHABLE})"),
        ((2, "yellow"), (10, "red")),
    ),
    number(
        Text(
            "Searchable up to",
            "The watermark: everything committed in the source until then is found by a search.",
            "dateTimeFromNow",
        ),
        Query(f"1000 * min by (pipeline) (cdc_watermark_timestamp_seconds{SEARCHABLE})"),
    ),
    number(
        Text(
            "Pipelines not streaming",
            "How many of the chosen pipelines start, load, wait or stop instead.",
            "short",
        ),
        Query('sum(cdc_pipeline_state{%s, state!~"streaming|standby"})', "not streaming"),
        ((1, "yellow"),),
    ),
    number(
        Text("Dead letters", "Documents that the sink will never take as they are.", "short"),
        Query("max by (pipeline) (cdc_dead_letters_stored{%s})"),
        ((1, "red"),),
    ),
    number(
        Text("Last error", "How long ago something last went wrong, put right or not.", "s"),
        Query("time() - max by (pipeline) (cdc_last_error_timestamp_seconds{%s})"),
    ).no_value("none"),
)

DELAY: Final = (
    graph(
        Text(
            "Delay by stage",
            "How far received, projected, indexed and searchable are behind the source. The gap "
            "between two lines is what the step between them costs.",
            "s",
        ),
        Query(
            'max by (pipeline, stage) (cdc_replication_delay_seconds{%s, projection=""})',
            "{{pipeline}} {{stage}}",
        ),
    ),
    graph(
        Text(
            "Delay by read model",
            "How far searches of each are behind: where one is ahead of others, the others wait "
            "for their own index.",
            "s",
        ),
        Query(
            "max by (pipeline, projection) (cdc_replication_delay_seconds"
            '{%s, projection!="", stage="searchable"})',
            "{{pipeline}} {{projection}}",
        ),
    ),
    graph(
        Text(
            "Freshness achieved",
            "How long what was written lay unfound, the longest of each minute, beside what is "
            "configured.",
            "s",
        ),
        Query(
            "max by (pipeline, projection) (cdc_freshness_achieved_seconds{%s})",
            "{{pipeline}} {{projection}}",
        ),
        Query(
            "max by (pipeline, projection) (cdc_freshness_seconds{%s})",
            "{{pipeline}} {{projection}} configured",
        ),
    ),
    graph(
        Text(
            "Worst delay of each minute",
            "The rolling maximum of 60 seconds, to searchable.",
            "s",
        ),
        Query(f"max by (pipeline) (cdc_replication_delay_max_seconds{SEARCHABLE})"),
    ),
    graph(
        Text(
            "Commit to each stage",
            "Percentiles over transactions. Empty when nothing is committed, and during a stall: "
            "then the delay is what counts.",
            "s",
        ),
        *percentiles("cdc_end_to_end_latency_seconds", "stage", chosen='%s, projection=""'),
    ),
)

FLOW: Final = (
    graph(
        Text("Changes received", "Row changes read from the stream, by operation.", "ops"),
        Query(
            "sum by (pipeline, operation) (rate(cdc_changes_received_total{%s}[$__rate_interval]))",
            "{{pipeline}} {{operation}}",
        ),
    ),
    graph(
        Text("Transactions", "Commits read from the stream.", "ops"),
        Query("sum by (pipeline) (rate(cdc_transactions_received_total{%s}[$__rate_interval]))"),
    ),
    graph(
        Text(
            "Documents by result",
            "Stale ones were overtaken by something newer, as after a restart: that is fine.",
            "ops",
        ),
        Query(
            "sum by (pipeline, projection, result) "
            "(rate(cdc_documents_written_total{%s}[$__rate_interval]))",
            "{{projection}} {{result}}",
        ),
    ),
    graph(
        Text("Rows loaded", "Existing rows read for a new read model, or to repair one.", "rowsps"),
        Query(
            "sum by (pipeline, projection) (rate(cdc_load_rows_total{%s}[$__rate_interval]))",
            "{{projection}}",
        ),
    ),
    graph(
        Text("Loads", "How much of each table is read and durable.", "percentunit"),
        Query(
            "min by (pipeline, table) (cdc_backfill_progress_ratio{%s})", "{{pipeline}} {{table}}"
        ),
    ),
    graph(
        Text(
            "Queue",
            "What waits for the sink. At the limit the daemon stops reading, and the backlog stays "
            "in the source.",
            "bytes",
        ),
        Query("max by (pipeline) (cdc_queue_bytes{%s})", "{{pipeline}} waiting"),
        Query("max by (pipeline) (cdc_queue_limit_bytes{%s})", "{{pipeline}} limit"),
    ),
    graph(
        Text(
            "Spilled to disk",
            "What was written because one transaction was larger than its share of memory.",
            "binBps",
        ),
        Query(
            "sum by (pipeline) (rate(cdc_transaction_spilled_bytes_total{%s}[$__rate_interval]))"
        ),
    ),
)

SINK: Final = (
    graph(
        Text("Bulk requests", "How long a request to the sink takes.", "s"),
        *percentiles("cdc_bulk_request_duration_seconds"),
    ),
    graph(
        Text("Retries", "Requests sent again, by reason.", "ops"),
        Query(
            "sum by (pipeline, sink, reason) (rate(cdc_bulk_retries_total{%s}[$__rate_interval]))",
            "{{pipeline}} {{sink}} {{reason}}",
        ),
    ),
    graph(
        Text(
            "Delay by sink",
            "Of several: how far each is behind. Positions, and what the source keeps, wait for "
            "the slowest.",
            "s",
        ),
        Query(
            "max by (pipeline, sink, stage) (cdc_sink_delay_seconds{%s})",
            "{{pipeline}} {{sink}} {{stage}}",
        ),
    ),
    graph(
        Text("Refreshes", "How long it takes to make documents searchable.", "s"),
        *percentiles("cdc_refresh_duration_seconds"),
    ),
    graph(
        Text(
            "New dead letters",
            "By read model and reason. The first of a kind shows in the total above only.",
            "short",
        ),
        Query(
            "sum by (projection, reason) (increase(cdc_dead_letters_total{%s}[$__rate_interval]))",
            "{{projection}} {{reason}}",
        ),
    ),
    graph(
        Text(
            "Values that became null",
            "By read model and field: what the field can't hold, such as NaN or infinity.",
            "short",
        ),
        Query(
            "sum by (projection, field)"
            " (increase(cdc_unrepresentable_values_total{%s}[$__rate_interval]))",
            "{{projection}} {{field}}",
        ),
    ),
    graph(
        Text("Connections lost", "Connections made again, by side.", "short"),
        Query(
            "sum by (pipeline, side) (increase(cdc_reconnects_total{%s}[$__rate_interval]))",
            "{{pipeline}} {{side}}",
        ),
    ),
    graph(
        Text("State", "What each pipeline is doing.", "short"),
        Query("sum by (pipeline, state) (cdc_pipeline_state{%s}) == 1", "{{pipeline}} {{state}}"),
    ),
)

WAITING: Final = (
    graph(
        Text("Requests that wait", "For searches to show what a client has written.", "short"),
        Query("sum by (pipeline) (cdc_waiters{%s})"),
    ),
    graph(
        Text("Waiting time", "99 of 100 requests waited no longer, by policy.", "s"),
        Query(
            "histogram_quantile(0.99, sum by (pipeline, policy, le) "
            "(rate(cdc_wait_seconds_bucket{%s}[$__rate_interval])))",
            "{{pipeline}} {{policy}}",
        ),
    ),
    graph(
        Text("What became of them", "Reached, or not, by policy.", "short"),
        Query(
            "sum by (pipeline, policy, outcome) "
            "(rate(cdc_wait_seconds_count{%s}[$__rate_interval]))",
            "{{pipeline}} {{policy}} {{outcome}}",
        ),
    ),
    graph(
        Text(
            "Commits wait",
            "1 while a COMMIT can wait until searches find it; empty where nobody wants that.",
            "bool",
        ),
        Query("max by (pipeline) (cdc_strong_active{%s})"),
    ),
    graph(
        Text(
            "Waiting time of commits",
            "Of the daemon's part of it, 99 of 100 were no longer: from reading a commit until the "
            "server was told that it is searchable.",
            "s",
        ),
        Query(
            "histogram_quantile(0.99, sum by (pipeline, le) "
            "(rate(cdc_strong_commit_seconds_bucket{%s}[$__rate_interval])))"
        ),
    ),
)

SOURCE: Final = (
    graph(
        Text(
            "Write-ahead log kept for us",
            "Retained: what PostgreSQL keeps on its disk. Unconfirmed: what we have not finished "
            "yet. Retained without unconfirmed is a long transaction in the source.",
            "bytes",
        ),
        Query("max by (pipeline, slot) (cdc_slot_retained_wal_bytes{%s})", "{{slot}} retained"),
        Query(
            "max by (pipeline, slot) (cdc_slot_unconfirmed_wal_bytes{%s})", "{{slot}} unconfirmed"
        ),
    ),
    graph(
        Text(
            "Budget left",
            "What may still be written before PostgreSQL drops the slot (max_slot_wal_keep_size), "
            "and before the daemon's own limit (source.wal.limit). Empty without either: then the "
            "disk is the limit.",
            "bytes",
        ),
        Query("min by (pipeline, slot) (cdc_slot_safe_wal_bytes{%s})", "{{slot}} PostgreSQL's"),
        Query("min by (pipeline, slot) (cdc_slot_wal_left_bytes{%s})", "{{slot}} the daemon's"),
    ),
    graph(
        Text("Slot has a reader", "1 while a walsender serves the slot.", "bool"),
        Query("max by (pipeline, slot) (cdc_slot_active{%s})", "{{slot}}"),
    ),
    graph(
        Text(
            "Clock offset",
            "The source's clock minus the daemon's, and by how much that can be wrong. The delay "
            "is corrected by it already.",
            "s",
        ),
        Query("max by (pipeline) (cdc_source_clock_offset_seconds{%s})"),
        Query(
            "max by (pipeline) (cdc_source_clock_offset_error_seconds{%s})", "{{pipeline}} error"
        ),
    ),
)


def build() -> dashboard.Dashboard:
    """Build the dashboard; Grafana's grid is filled from left to right, 24 columns wide."""
    board = (
        dashboard.Dashboard("Replication delay")
        .uid(UID)
        .description("How far the read models are behind PostgreSQL, and why.")
        .tags(["cdc-daemon"])
        .readonly()
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(_pipeline_variable())
    )
    rows: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("Now", HEADLINE),
        ("Delay", DELAY),
        ("Waiting", WAITING),
        ("What flows", FLOW),
        ("Sink", SINK),
        ("Source", SOURCE),
        ("Relay", RELAY),
        ("Replicas", REPLICAS),
    )
    for title, panels in rows:
        board.with_row(dashboard.Row(title))
        for panel in panels:
            board.with_panel(panel)
    return board


def _pipeline_variable() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("pipeline")
        .label("Pipeline")
        .datasource(DATASOURCE)
        .query("label_values(cdc_pipeline_state, pipeline)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)  # noqa: FBT003  the builder's way
        .include_all(True)  # noqa: FBT003  the builder's way
        .all_value(".*")
    )


def render() -> str:
    """Return the dashboard as JSON, every panel with an id of its own."""
    document = json.loads(json.dumps(build().build(), cls=JSONEncoder))
    for identifier, panel in enumerate(document["panels"], start=1):
        panel["id"] = identifier
    return json.dumps(document, indent=2) + "\n"
