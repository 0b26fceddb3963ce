"""The compose stack out of one machine: relay, Kafka and projectors beside what there is."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from cdc_daemon.config import load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    """The folder of the compose stack."""
    return root / "deploy" / "compose"


@pytest.fixture(scope="module")
def services(folder: Path) -> dict[str, Any]:
    """What it adds and changes; `!reset` is Compose's own."""
    found: dict[str, Any] = YAML().load(folder / "scaled-out.yaml")["services"]
    return found


@pytest.fixture(scope="module")
def stack(folder: Path) -> dict[str, Any]:
    """What it is laid over."""
    found: dict[str, Any] = YAML(typ="safe").load(folder / "compose.yaml")["services"]
    return found


def mounted(folder: Path, service: dict[str, Any], target: str) -> Path:
    """The file of the repository that a service has there."""
    origins = {volume.split(":")[1]: volume.split(":")[0] for volume in service["volumes"]}
    return folder / str(origins[target])


@pytest.fixture
def configured(folder: Path, tmp_path: Path) -> Any:
    """Loads a configuration with the secret where the stack mounts it."""
    shutil.copy(folder / "database-url", tmp_path / "database-url")

    def loaded(path: Path) -> Any:
        text = path.read_text(encoding="utf-8").replace("/run/secrets", str(tmp_path))
        file = tmp_path / path.name
        file.write_text(text, encoding="utf-8")
        return load(file, os.environ).configuration

    return loaded


def test_both_configurations_are_valid_and_of_one_log(
    folder: Path, services: dict[str, Any], configured: Any
) -> None:
    """The daemon takes them, and projectors read in the cluster what the relay writes there."""
    configuration = "/etc/cdc-daemon/cdc-daemon.yaml"
    relay = configured(mounted(folder, services["relay"], configuration))
    projector = configured(mounted(folder, services["cdc-daemon"], configuration))
    advertised = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    for section in (relay.sink, projector.source):
        assert section.log == "hotel.log"
        assert advertised == f"PLAINTEXT://{section.bootstrap_servers}"
    assert {*projector.tables} <= {*relay.tables}
    assert relay.web.listen == projector.web.listen == "0.0.0.0:9645"
    assert relay.name != projector.name


def test_what_is_laid_over_fits_what_is_there(
    folder: Path, services: dict[str, Any], stack: dict[str, Any]
) -> None:
    """Only what mounts at the same place, runs otherwise or is new; all that is waited for is."""
    assert services.keys() - stack.keys() == {"kafka", "relay"}
    daemon = services["cdc-daemon"]
    assert daemon["command"] == ["run", "--role", "projector"]
    assert daemon["deploy"]["replicas"] > 1
    assert daemon["ports"].tag.value == "!reset"
    for name in services.keys() & stack.keys():
        places = [volume.split(":")[1] for volume in stack[name]["volumes"]]
        for volume in services[name]["volumes"]:
            origin, target, mode = volume.split(":")
            assert (folder / origin).is_file()
            assert target in places
            assert mode == "ro"
    for service in services.values():
        for other, condition in service.get("depends_on", {}).items():
            assert "healthcheck" in {**stack, **services}[other]
            assert condition == {"condition": "service_healthy"}


def test_the_relay_runs_as_the_daemon_does(services: dict[str, Any], stack: dict[str, Any]) -> None:
    """With no more rights, and as much time to stop."""
    for key in ("read_only", "cap_drop", "security_opt", "tmpfs", "stop_grace_period", "image"):
        assert services["relay"][key] == stack["cdc-daemon"][key]
    assert all("ports" not in services[name] for name in ("kafka", "relay"))


def test_prometheus_scrapes_every_replica(folder: Path, services: dict[str, Any]) -> None:
    """By the addresses that the names of the services have, and by the same rules."""
    file = mounted(folder, services["prometheus"], "/etc/prometheus/prometheus.yml")
    configuration = YAML(typ="safe").load(file)
    plain = YAML(typ="safe").load(folder / "prometheus" / "prometheus.yaml")
    ((found,),) = [job["dns_sd_configs"] for job in configuration["scrape_configs"]]
    assert found == {"names": ["cdc-daemon", "relay"], "type": "A", "port": 9645}
    assert configuration["rule_files"] == plain["rule_files"]
