"""How a panel of our dashboards is built: a number or a graph, from queries of Prometheus."""  # noqa: INP001  beside a script

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

PIPELINE: Final = 'pipeline=~"$pipeline"'
DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True, slots=True)
class Query:
    """One line or number of a panel. `%s` in the expression becomes the pipeline matcher."""

    expression: str
    legend: str = "{{pipeline}}"

    def build(self, ref_id: str) -> prometheus.Dataquery:
        """Build the target."""
        return (
            prometheus.Dataquery()
            .datasource(DATASOURCE)
            .ref_id(ref_id)
            .expr(self.expression.replace("%s", PIPELINE))
            .legend_format(self.legend)
        )


@dataclass(frozen=True, slots=True)
class Text:
    """What a panel says of itself."""

    title: str
    description: str
    unit: str
    """Grafana's id of the unit: `s`, `bytes`, `short`, `ops`."""


def number(text: Text, query: Query, steps: tuple[tuple[float, str], ...] = ()) -> stat.Panel:
    """Build a panel with the present value, coloured by the steps (from value, colour)."""
    colours = [Threshold(value=None, color="green")]
    colours += [Threshold(value=value, color=colour) for value, colour in steps]
    return (
        stat.Panel()
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .datasource(DATASOURCE)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(colours))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(query.build("A").instant())
        .span(4)
        .height(4)
    )


def graph(text: Text, *queries: Query) -> timeseries.Panel:
    """Build a panel with a line for each series of the queries."""
    panel = (
        timeseries.Panel()
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .datasource(DATASOURCE)
        .axis_soft_min(0)
        .fill_opacity(8)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)  # noqa: FBT003  the builder's way; hidden unless said
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
        .span(8)
        .height(8)
    )
    for at, query in enumerate(queries):
        panel.with_target(query.build(chr(ord("A") + at)).range())
    return panel


def percentiles(metric: str, *labels: str, chosen: str = "%s") -> tuple[Query, Query]:
    """Median and 99th percentile of a histogram, one line for each value of the labels.

    `chosen` are the series: all of the chosen pipelines, where no more is said.
    """
    by = ", ".join(("pipeline", *labels, "le"))
    legend = " ".join(f"{{{{{label}}}}}" for label in ("pipeline", *labels))
    rate = f"sum by ({by}) (rate({metric}_bucket{{{chosen}}}[$__rate_interval]))"
    return (
        Query(f"histogram_quantile(0.5, {rate})", f"{legend} p50"),
        Query(f"histogram_quantile(0.99, {rate})", f"{legend} p99"),
    )
