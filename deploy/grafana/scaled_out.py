"""The rows of the dashboard about more than one machine: the relay, and replicas that share."""  # noqa: INP001  a script

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Query, Text, graph, percentiles

RELAY: Final = (
    graph(
        Text(
            "Written to Kafka",
            "Keys and values that are durable, of pipelines that relay. None while the source has "
            "changes: the brokers take nothing.",
            "Bps",
        ),
        Query("sum by (pipeline) (rate(cdc_relay_bytes_total{%s}[$__rate_interval]))"),
    ),
    graph(
        Text(
            "Until it is durable",
            "How long a Kafka transaction takes to end. The next one waits for it.",
            "s",
        ),
        *percentiles("cdc_relay_settle_seconds"),
    ),
    graph(
        Text(
            "Lost or unreadable",
            "Topics that were found without messages that had been written to them, and changes "
            "that were passed on without values. Both should stay at 0.",
            "short",
        ),
        Query(
            "sum by (pipeline, topic) (increase(cdc_relay_losses_total{%s}[$__rate_interval]))",
            "{{pipeline}} {{topic}} lost",
        ),
        Query(
            "sum by (pipeline, table)"
            " (increase(cdc_relay_unreadable_changes_total{%s}[$__rate_interval]))",
            "{{pipeline}} {{table}} unreadable",
        ),
    ),
)

REPLICAS: Final = (
    graph(
        Text(
            "Documents that are written",
            "Of 64 slots, those that a replica has. Less for long: what is in the others is "
            "written by nobody.",
            "short",
        ),
        Query("sum by (pipeline) (cdc_replica_slots{%s})"),
    ),
    graph(
        Text("Replicas", "Those that share the documents, and whether one of them leads.", "short"),
        Query("max by (pipeline) (cdc_replica_members{%s})"),
        Query("sum by (pipeline) (cdc_replica_leads{%s})", "{{pipeline}} leads"),
    ),
    graph(
        Text(
            "Rebalances",
            "How often replicas were given other slots: each time they stand for about a second.",
            "short",
        ),
        Query(
            "sum by (pipeline) (increase(cdc_replica_rebalances_total{%s}[$__rate_interval]))",
        ),
    ),
)
