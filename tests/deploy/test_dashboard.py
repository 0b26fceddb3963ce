from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploy.expressions import mistakes, selections
from tests.deploy.metrics_page import metric_sections

if TYPE_CHECKING:
    from pathlib import Path

COUNTED = re.compile(r"(rate|increase)\(\s*$")


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    """The committed dashboard."""
    path = root / "deploy" / "grafana" / "replication-delay.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Its panels, without the rows between them."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_the_address_of_the_dashboard_stays(dashboard: dict[str, Any]) -> None:
    """Links and runbooks rely on uid and title, and nobody edits a provisioned dashboard."""
    assert dashboard["uid"] == "cdc-replication-delay"
    assert dashboard["title"] == "Replication delay"
    assert dashboard["editable"] is False
    assert "id" not in dashboard


def test_data_source_and_pipeline_can_be_chosen(dashboard: dict[str, Any]) -> None:
    """Both are variables, and the pipelines come from a documented metric."""
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["pipeline"]["query"] == "label_values(cdc_pipeline_state, pipeline)"
    assert variables["pipeline"]["datasource"]["uid"] == "${datasource}"
    assert set(variables) == {"datasource", "pipeline"}


def test_every_panel_explains_itself(panels: list[dict[str, Any]]) -> None:
    """Each has a title of its own, a description, a unit and at least one target."""
    for panel in panels:
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)


def test_panels_have_ids_of_their_own_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    """Grafana keeps them apart by id, and draws each at its own place."""
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        columns, lines = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells = {(column, line) for column in columns for line in lines}
        assert max(columns) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_query_goes_to_the_chosen_data_source(panels: list[dict[str, Any]]) -> None:
    """No panel and no target is tied to one Prometheus."""
    for panel in panels:
        for asking in (panel, *panel["targets"]):
            assert asking["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_queries_use_documented_metrics(root: Path, panels: list[dict[str, Any]]) -> None:
    """Every expression parses, selects documented metrics, and groups by labels they have."""
    metrics = metric_sections(root / "docs" / "reference" / "metrics.md").values()
    wrong = {
        target["expr"]: found
        for panel in panels
        for target in panel["targets"]
        if (found := mistakes(target["expr"], metrics))
    }
    assert wrong == {}


def test_every_selection_is_of_the_chosen_pipelines(panels: list[dict[str, Any]]) -> None:
    """Each selector matches `pipeline`."""
    for panel in panels:
        for target in panel["targets"]:
            for name, labels in selections(target["expr"]).items():
                assert "pipeline" in labels, f"{panel['title']}: {name}"


def test_counters_are_shown_as_rates(panels: list[dict[str, Any]]) -> None:
    """A counter or bucket stands only in rate or increase, over $__rate_interval."""
    for panel in panels:
        for target in panel["targets"]:
            for found in re.finditer(r"cdc_\w+_(total|bucket)\b", target["expr"]):
                assert COUNTED.search(target["expr"][: found.start()]), target["expr"]
                assert "[$__rate_interval]" in target["expr"]


def test_legends_name_labels_that_the_query_keeps(panels: list[dict[str, Any]]) -> None:
    """A legend's {{label}} is one that the expression groups by."""
    for panel in panels:
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), panel["title"]
