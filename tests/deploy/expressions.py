"""What a PromQL expression asks for: which series, and which of their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import promql_parser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.deploy.metrics_page import DocumentedMetric

TARGET_LABELS = frozenset({"namespace", "job"})
"""What Prometheus adds to every series of ours."""


def selections(expression: str) -> dict[str, set[str]]:
    """The series that the expression selects, each with the labels that it matches on.

    Raises ValueError when it can't be parsed.
    """
    found: dict[str, set[str]] = {}

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector) and node.name is not None:
            matched = {matcher.name for matcher in node.matchers.matchers}
            found.setdefault(node.name, set()).update(matched)
        return True

    promql_parser.walk(promql_parser.parse(_filled(expression)), visit)
    return found


def grouping_labels(expression: str) -> set[str]:
    """All labels that the expression aggregates by."""
    found: set[str] = set()

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)
        return True

    promql_parser.walk(promql_parser.parse(_filled(expression)), visit)
    return found


def mistakes(expression: str, metrics: Iterable[DocumentedMetric]) -> list[str]:
    """What the expression uses that no page documents; recorded series (`a:b:c`) are left out."""
    known: dict[str, frozenset[str]] = {}
    for metric in metrics:
        known |= metric.series
    used = {name: labels for name, labels in selections(expression).items() if ":" not in name}
    wrong = [f"{name} is not documented" for name in used if name not in known]
    reached = {name: known[name] for name in used if name in known}
    wrong += [
        f"{name} has no label {label}"
        for name, labels in reached.items()
        for label in used[name] - labels
    ]
    allowed = TARGET_LABELS.union(*reached.values())
    wrong += [f"nothing has the label {label}" for label in grouping_labels(expression) - allowed]
    return wrong if reached else [name for name in wrong if "nothing has" not in name]


def _filled(expression: str) -> str:
    """Fill in what Grafana fills in before Prometheus sees it."""
    return expression.replace("$__rate_interval", "5m")
