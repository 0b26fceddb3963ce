from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from tests.deploy.expressions import mistakes, selections
from tests.deploy.metrics_page import metric_sections

if TYPE_CHECKING:
    from pathlib import Path

SECTIONS = ["Description", "Impact", "Diagnosis", "Resolution", "Prevention"]


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    """Where the rules and their unit tests are."""
    return root / "deploy" / "prometheus"


@pytest.fixture(scope="module")
def rules(folder: Path) -> list[dict[str, Any]]:
    """All rules."""
    document = YAML(typ="safe").load((folder / "rules.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def alerts(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The alerts among them."""
    return [rule for rule in rules if "alert" in rule]


def test_prometheus_takes_the_rules(folder: Path, promtool: str) -> None:
    """`promtool check rules` finds nothing, duplicates and style included."""
    command = [promtool, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"]
    result = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_alerts_fire_when_they_should_and_only_then(folder: Path, promtool: str) -> None:
    """The unit tests of the rules pass in Prometheus's own evaluation."""
    command = [promtool, "test", "rules", "rules_test.yaml"]
    result = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_alert_is_tested_both_ways(folder: Path, alerts: list[dict[str, Any]]) -> None:
    """For each alert there is a moment when it fires and one when it doesn't."""
    document = YAML(typ="safe").load((folder / "rules_test.yaml").read_text(encoding="utf-8"))
    cases = [case for test in document["tests"] for case in test["alert_rule_test"]]
    names = {alert["alert"] for alert in alerts}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


def test_rules_use_documented_metrics(root: Path, rules: list[dict[str, Any]]) -> None:
    """Every expression selects documented metrics by labels that they have."""
    metrics = metric_sections(root / "docs" / "reference" / "metrics.md").values()
    wrong = {rule["expr"]: found for rule in rules if (found := mistakes(rule["expr"], metrics))}
    assert wrong == {}


def test_every_recorded_series_is_recorded_before_it_is_used(rules: list[dict[str, Any]]) -> None:
    """A rule reads only what a rule above it has recorded, and nothing is recorded in vain."""
    recorded: set[str] = set()
    used: set[str] = set()
    for rule in rules:
        asked = {name for name in selections(rule["expr"]) if ":" in name}
        assert asked <= recorded, rule["expr"]
        used |= asked
        recorded |= {rule["record"]} if "record" in rule else set()
    assert used == recorded


def test_every_alert_says_what_it_means(alerts: list[dict[str, Any]]) -> None:
    """Name, severity, a summary that is always the same, and a description with the particulars."""
    for alert in alerts:
        assert alert["alert"].startswith("Cdc")
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert "{{" not in alert["annotations"]["summary"]
        assert "{{ $labels.pipeline }}" in alert["annotations"]["description"] or (
            alert["alert"] == "CdcDaemonAbsent"
        )


def test_every_alert_has_its_runbook(root: Path, alerts: list[dict[str, Any]]) -> None:
    """One page an alert, with all sections in their order, no page without an alert, all listed."""
    folder = root / "docs" / "runbooks"
    for alert in alerts:
        address = alert["annotations"]["runbook_url"]
        assert address == f"docs/runbooks/{alert['alert']}.md"
        lines = (root / address).read_text(encoding="utf-8").splitlines()
        assert lines[0] == f"# {alert['alert']}"
        assert [line[3:] for line in lines if line.startswith("## ")] == SECTIONS
    pages = {path.stem for path in folder.glob("Cdc*.md")}
    assert pages == {alert["alert"] for alert in alerts}
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"]({page}.md)" in index for page in pages)
