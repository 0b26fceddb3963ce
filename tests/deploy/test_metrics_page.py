from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.deploy.expressions import mistakes, selections
from tests.deploy.metrics_page import documented_metrics, metric_sections

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.metrics_page import DocumentedMetric


@pytest.fixture(scope="module")
def page(root: Path) -> Path:
    """The page under test."""
    return root / "docs" / "reference" / "metrics.md"


@pytest.fixture(scope="module")
def metrics(page: Path) -> list[DocumentedMetric]:
    """Its sections."""
    return list(metric_sections(page).values())


def test_every_name_on_the_page_has_a_section(page: Path) -> None:
    """No metric is mentioned that isn't documented, and each section is read."""
    mentioned = set(re.findall(r"\bcdc_\w+", page.read_text(encoding="utf-8"))) - {"cdc_"}
    plain = {re.sub(r"_bucket$", "", name) for name in mentioned}
    assert plain == documented_metrics(page)


def test_every_section_says_what_the_metric_means(metrics: list[DocumentedMetric]) -> None:
    """Each metric has a meaning in words and an example that uses it."""
    for metric in metrics:
        assert len(metric.meaning) > 20, metric.name
        assert metric.examples, metric.name
        for example in metric.examples:
            assert set(selections(example)) & set(metric.series), metric.name


def test_examples_use_what_the_page_documents(metrics: list[DocumentedMetric]) -> None:
    """Every example parses, and selects documented metrics by labels that they have."""
    wrong = {
        metric.name: found
        for metric in metrics
        for example in metric.examples
        if (found := mistakes(example, metrics))
    }
    assert wrong == {}


def test_names_follow_the_conventions_of_prometheus(metrics: list[DocumentedMetric]) -> None:
    """Counters end in _total, a unit is in the name, and every metric but one has `pipeline`."""
    for metric in metrics:
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        unit = re.match(r"in (seconds|bytes)", metric.unit)
        named = re.search(r"_(seconds|bytes)(_total)?$", metric.name)
        assert (unit and unit[1]) == (named and named[1]), metric.name
        assert ("pipeline" in metric.labels) == (metric.name != "cdc_build_info"), metric.name


def test_a_section_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    """A section without its line of kind and labels is an error, not an omission."""
    page = tmp_path / "page.md"
    page.write_text("### `cdc_thing`\n\nCounts things.\n", encoding="utf-8")
    with pytest.raises(ValueError, match="cdc_thing: no line such as"):
        documented_metrics(page)
