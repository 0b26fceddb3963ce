from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_validate import validate  # type: ignore[import-untyped]  # has no types
from ruamel.yaml import YAML

from cdc_daemon import __version__
from cdc_daemon.config import load
from deploy.generate import CHART

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.conftest import RenderChart

VALUES = ("hotel", "everything", "relay", "projectors")
OF_THE_OPERATOR = {"PrometheusRule", "ServiceMonitor"}


def the(kind: str, objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first object of the kind."""
    return next(each for each in objects if each["kind"] == kind)


def pod(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the pod's specification."""
    specification: dict[str, Any] = the("Deployment", objects)["spec"]["template"]["spec"]
    return specification


def refusal(render: RenderChart, *arguments: str) -> str:
    """What helm says when it refuses."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render(*arguments)
    message: str = refused.value.stderr
    return message


@pytest.mark.parametrize("values", VALUES)
def test_helm_finds_nothing_to_complain_about(helm: str, values: str) -> None:
    """`helm lint --strict` passes."""
    path = CHART / "ci" / f"{values}-values.yaml"
    command = [helm, "lint", "--strict", "--quiet", str(CHART), "--values", str(path)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("version", ["1.29", "1.37"])
@pytest.mark.parametrize("values", VALUES)
def test_kubernetes_knows_every_field(render: RenderChart, values: str, version: str) -> None:
    """All objects are valid, without unknown fields, for the oldest and the newest version."""
    objects = render(values=values)
    for each in objects:
        if each["kind"] not in OF_THE_OPERATOR:
            validate(each, version, strict=True)
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)


def test_the_least_configuration_brings_no_extras(render: RenderChart) -> None:
    """What needs more than Kubernetes itself is off by default."""
    kinds = sorted(each["kind"] for each in render())
    assert kinds == ["ConfigMap", "Deployment", "Service", "ServiceAccount"]


@pytest.mark.parametrize("values", VALUES)
def test_the_pod_is_restricted(render: RenderChart, values: str) -> None:
    """It meets the Pod Security Standard `restricted`, with a read-only root on top."""
    specification = pod(render(values=values))
    assert specification["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = specification["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert specification["automountServiceAccountToken"] is False
    kinds = {next(key for key in volume if key != "name") for volume in specification["volumes"]}
    assert kinds <= {"configMap", "secret", "emptyDir"}


def test_only_tmp_and_state_can_be_written(render: RenderChart) -> None:
    """Everything else that is mounted is read-only."""
    (container,) = pod(render())["containers"]
    mounts = container["volumeMounts"]
    writable = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
    assert writable == {"/tmp", "/var/lib/cdc-daemon"}  # noqa: S108 - the pod's own, not ours


def test_a_slot_has_one_reader(render: RenderChart) -> None:
    """One replica, and the old pod is gone before the new one starts."""
    specification = the("Deployment", render())["spec"]
    assert specification["replicas"] == 1
    assert specification["strategy"] == {"type": "Recreate"}
    message = refusal(render, "--set", "replicas=2")
    assert "replicas is 2, and the configuration doesn't say `standby: true`" in message


def test_a_standby_is_there_before_a_pod_goes(render: RenderChart) -> None:
    """Where the configuration makes the second pod one."""
    specification = the("Deployment", render(values="everything"))["spec"]
    assert specification["replicas"] == 2
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    assert specification["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}


def test_projectors_share_the_work(render: RenderChart) -> None:
    """Any number of pods, each with a folder of its own; the relay has one that writes."""
    objects = render(values="projectors")
    specification = the("Deployment", objects)["spec"]
    (container,) = pod(objects)["containers"]
    assert container["args"] == ["run", "--role", "projector"]
    assert (specification["replicas"], specification["strategy"]["type"]) == (3, "RollingUpdate")
    assert {"name": "state", "emptyDir": {}} in pod(objects)["volumes"]
    (relay,) = pod(render(values="relay"))["containers"]
    assert relay["args"] == ["run"]


def test_projectors_read_the_log_that_the_relay_writes() -> None:
    """The two examples are of one pipeline, in the same cluster."""
    relay, projectors = (
        YAML(typ="safe").load(
            YAML(typ="safe").load((CHART / "ci" / f"{name}-values.yaml").read_text("utf-8"))[
                "config"
            ]
        )
        for name in ("relay", "projectors")
    )
    for key in ("log", "bootstrap_servers"):
        assert relay["sink"][key] == projectors["source"][key]
    embedded = projectors["projections"]["hotels"]["embed"]["rooms"]["many"]
    assert {projectors["projections"]["hotels"]["from"], embedded} == {*relay["relay"]["tables"]}


def test_the_state_may_outlive_its_pod(render: RenderChart) -> None:
    """By a claim; two pods can't share one."""
    volumes = pod(render("--set", "state.claim=rows"))["volumes"]
    (state,) = (each for each in volumes if each["name"] == "state")
    assert state == {"name": "state", "persistentVolumeClaim": {"claimName": "rows"}}
    message = refusal(render, "--set", "state.claim=rows", "--set", "replicas=2")
    assert "state.claim" in message


def test_a_stop_has_time_to_finish(render: RenderChart) -> None:
    """The grace period is longer than the daemon's own deadline of 25 s, and has to be."""
    assert pod(render())["terminationGracePeriodSeconds"] > 25
    message = refusal(render, "--set", "terminationGracePeriodSeconds=20")
    assert "/terminationGracePeriodSeconds" in message


def test_probes_ask_the_web_side(render: RenderChart) -> None:
    """Liveness and start ask /livez, readiness /readyz, on the port that the service has too."""
    objects = render()
    (container,) = pod(objects)["containers"]
    asked = {
        probe: container[probe]["httpGet"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked["startupProbe"] == asked["livenessProbe"] == {"path": "/livez", "port": "http"}
    assert asked["readinessProbe"] == {"path": "/readyz", "port": "http"}
    (port,) = container["ports"]
    assert (port["name"], port["containerPort"]) == ("http", 9645)
    service = the("Service", objects)["spec"]
    assert service["ports"][0]["port"] == 9645
    assert service["publishNotReadyAddresses"] is True


@pytest.mark.parametrize("values", VALUES)
def test_selectors_find_the_pod(render: RenderChart, values: str) -> None:
    """Deployment and service select the pod, by labels that no upgrade changes."""
    objects = render(values=values)
    specification = the("Deployment", objects)["spec"]
    labels = specification["template"]["metadata"]["labels"]
    for selector in (
        specification["selector"]["matchLabels"],
        the("Service", objects)["spec"]["selector"],
    ):
        assert selector.items() <= labels.items()
        assert set(selector) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}


@pytest.mark.parametrize("values", VALUES)
def test_the_configuration_arrives_verbatim_and_is_valid(
    render: RenderChart, values: str, tmp_path: Path
) -> None:
    """The ConfigMap holds the very text of the values, and the daemon takes it."""
    given = YAML(typ="safe").load((CHART / "ci" / f"{values}-values.yaml").read_text("utf-8"))
    text = the("ConfigMap", render(values=values))["data"]["cdc-daemon.yaml"]
    assert text == given["config"]
    for key in ("database-url", "opensearch-password"):
        (tmp_path / key).write_text("postgresql://cdc@db/shop\n", encoding="utf-8")
    path = tmp_path / "cdc-daemon.yaml"
    path.write_text(text.replace("/run/secrets/cdc-daemon", str(tmp_path)), encoding="utf-8")
    loaded = load(path, {**os.environ, "DATABASE_URL": "postgresql://cdc@db/shop"})
    deadline = loaded.configuration.shutdown.deadline
    assert deadline < pod(render(values=values))["terminationGracePeriodSeconds"]


def test_a_changed_configuration_restarts_the_pod(render: RenderChart) -> None:
    """The pod carries a checksum of the configuration, and only a change of it changes that."""

    def checksum(*arguments: str) -> str:
        template = the("Deployment", render(*arguments))["spec"]["template"]
        found: str = template["metadata"]["annotations"]["checksum/config"]
        return found

    listen = "web: {listen: 0.0.0.0:9645}"
    assert checksum() == checksum("--set", "service.annotations.a=b")
    assert checksum() != checksum("--set-json", f"config={json.dumps(listen)}")


def test_secrets_are_files_and_never_in_the_manifest(render: RenderChart) -> None:
    """An existing Secret is mounted where the configuration reads it; the chart makes none."""
    objects = render()
    assert "Secret" not in {each["kind"] for each in objects}
    specification = pod(objects)
    volume = next(each for each in specification["volumes"] if each["name"] == "secrets")
    assert volume["secret"]["secretName"] == "cdc-daemon"
    mounts = specification["containers"][0]["volumeMounts"]
    mount = next(each for each in mounts if each["name"] == "secrets")
    assert mount == {"name": "secrets", "mountPath": "/run/secrets/cdc-daemon", "readOnly": True}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "config: give the daemon's YAML"),
        ("a: [", "config: not a YAML map"),
        ("- a", "config: not a YAML map"),
        ("name: hotel", "web.listen is 127.0.0.1:9645, where neither probes nor Prometheus"),
        ("web:", "web.listen is 127.0.0.1:9645, where"),
        ("web: 1", "web.listen is 127.0.0.1:9645, where"),
        ("web: {listen: 9645}", "web.listen is 9645, where"),
        ("web:\n  listen: 0.0.0.0:80", "web.listen is 0.0.0.0:80, where neither"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(
    render: RenderChart, config: str, message: str
) -> None:
    """What would only show as a pod that never gets ready is said at once."""
    assert message in refusal(render, "--set-json", f"config={json.dumps(config)}")


@pytest.mark.parametrize(
    "setting",
    ["replicas=0", "image.tga=1", "serviceMonitor.enabled=1", "config=1", "state.size=1"],
)
def test_a_misspelt_value_is_refused(render: RenderChart, setting: str) -> None:
    """The schema knows every value and its type."""
    assert "values don't meet the specifications of the schema" in refusal(render, "--set", setting)


def test_every_value_is_in_the_schema_and_in_the_example() -> None:
    """values.yaml, its schema and the values that set everything name the same keys."""
    yaml = YAML(typ="safe")
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    values = yaml.load((CHART / "values.yaml").read_text(encoding="utf-8"))
    everything = yaml.load((CHART / "ci" / "everything-values.yaml").read_text(encoding="utf-8"))
    assert set(schema["properties"]) - {"global"} == set(values) == set(everything)


def test_the_service_monitor_scrapes_the_service(render: RenderChart) -> None:
    """It selects the service by its labels and asks its port for /metrics."""
    objects = render(values="everything")
    monitor = the("ServiceMonitor", objects)
    service = the("Service", objects)
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "30s"}]
    assert service["spec"]["ports"][0]["name"] == "http"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_rules_come_with_the_chart(render: RenderChart, promtool: str, tmp_path: Path) -> None:
    """The PrometheusRule holds all rules, as Prometheus takes them, with the runbooks' address."""
    rule = the("PrometheusRule", render(values="everything"))
    path = tmp_path / "rules.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(rule["spec"], file)
    subprocess.run([promtool, "check", "rules", str(path)], check=True, capture_output=True)
    original = YAML(typ="safe").load((CHART / "files" / "rules.yaml").read_text("utf-8"))
    for group, ours in zip(rule["spec"]["groups"], original["groups"], strict=True):
        for rendered, written in zip(group["rules"], ours["rules"], strict=True):
            assert rendered["expr"] == written["expr"]
            if "alert" in written:
                address = f"https://wiki.example.org/runbooks/{written['alert']}.md"
                assert rendered["annotations"]["runbook_url"] == address


def test_the_dashboard_comes_with_the_chart(render: RenderChart) -> None:
    """A ConfigMap holds the dashboard for Grafana's sidecar."""
    objects = render(values="everything")
    found = next(each for each in objects if each["metadata"]["name"] == "cdc-social-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    committed = (CHART / "files" / "replication-delay.json").read_text(encoding="utf-8")
    assert json.loads(found["data"]["replication-delay.json"]) == json.loads(committed)


def test_the_version_is_the_daemons() -> None:
    """Chart and daemon are released together."""
    chart = YAML(typ="safe").load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__
