from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from ruamel.yaml import YAML

from cdc_daemon.config import load

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartPostgres

SERVICES = {"postgres", "opensearch", "cdc-daemon", "prometheus", "grafana", "load"}


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    """The folder of the compose stack."""
    return root / "deploy" / "compose"


@pytest.fixture(scope="module")
def compose(folder: Path) -> dict[str, Any]:
    """The compose file."""
    document: dict[str, Any] = read(folder / "compose.yaml")
    return document


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its services."""
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


@pytest.fixture(scope="module")
def configuration(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The daemon's configuration, loaded with the secret where the stack mounts it."""
    secrets = tmp_path_factory.mktemp("secrets")
    text = (folder / "database-url").read_text(encoding="utf-8")
    (secrets / "database-url").write_text(text, encoding="utf-8")
    path = secrets / "cdc-daemon.yaml"
    yaml = (folder / "cdc-daemon.yaml").read_text(encoding="utf-8")
    path.write_text(yaml.replace("/run/secrets", str(secrets)), encoding="utf-8")
    return load(path, os.environ).configuration


def read(path: Path) -> Any:
    """Load a YAML file."""
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def binds(service: dict[str, Any]) -> dict[str, str]:
    """Return the files and folders of the repository that a service mounts: target to origin."""
    parts = [volume.split(":") for volume in service.get("volumes", [])]
    return {part[1]: part[0] for part in parts if part[0].startswith(".")}


def test_the_stack_is_complete(compose: dict[str, Any]) -> None:
    """All services are there, and every named volume is declared and used."""
    services = compose["services"]
    assert set(services) == SERVICES
    mounted = {
        volume.split(":")[0] for each in services.values() for volume in each.get("volumes", [])
    }
    assert {name for name in mounted if not name.startswith(".")} == set(compose["volumes"])


def test_every_image_has_a_tag_and_no_registry(services: dict[str, dict[str, Any]]) -> None:
    """Images are named with a version, by name only."""
    for name, service in services.items():
        assert re.fullmatch(r"[a-z-]+(/[a-z-]+)?:[\w.]+", service["image"]), name
        assert not service["image"].endswith(":latest"), name


def test_every_mounted_file_exists(folder: Path, services: dict[str, dict[str, Any]]) -> None:
    """Docker would make an empty folder in place of a file that is missing."""
    for service in services.values():
        for volume in service.get("volumes", []):
            origin, _, rest = volume.partition(":")
            if origin.startswith("."):
                assert (folder / origin).exists(), origin
                assert rest.endswith(":ro"), f"{origin} can be written to"


def test_the_daemon_is_built_from_this_repository(
    root: Path, folder: Path, services: dict[str, dict[str, Any]]
) -> None:
    """The build context is the folder with the Dockerfile."""
    context = (folder / services["cdc-daemon"]["build"]["context"]).resolve()
    assert context == root
    assert (context / "Dockerfile").exists()


def test_everybody_waits_until_what_they_need_is_healthy(
    services: dict[str, dict[str, Any]],
) -> None:
    """Every service but the workload has a health check, and every dependency waits for it."""
    assert {name for name in services if "healthcheck" not in services[name]} == {"load"}
    waits = {name: set(each.get("depends_on", {})) for name, each in services.items()}
    assert waits["cdc-daemon"] == {"postgres", "opensearch"}
    assert waits["grafana"] == {"prometheus"}
    assert waits["load"] == {"postgres", "cdc-daemon"}
    for service in services.values():
        for condition in service.get("depends_on", {}).values():
            assert condition == {"condition": "service_healthy"}


def test_nothing_can_be_reached_from_outside(services: dict[str, dict[str, Any]]) -> None:
    """Passwords are in plain sight, so every port is bound to loopback, and none is taken twice."""
    ports = [port for each in services.values() for port in each.get("ports", [])]
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in ports)
    assert len(set(ports)) == len(ports) == 5


def test_the_daemon_has_no_rights_that_it_does_not_need(
    services: dict[str, dict[str, Any]],
) -> None:
    """Read-only root, no capability, two writable folders, and time to stop."""
    daemon = services["cdc-daemon"]
    assert daemon["read_only"] is True
    assert daemon["cap_drop"] == ["ALL"]
    assert [mount.split(":")[0] for mount in daemon["tmpfs"]] == ["/tmp", "/var/lib/cdc-daemon"]  # noqa: S108 - the container's own
    assert int(daemon["stop_grace_period"].removesuffix("s")) > 25


def test_the_configuration_fits_the_stack(
    services: dict[str, dict[str, Any]], configuration: Any
) -> None:
    """The daemon takes it, where the image looks for it; it names the stack's servers and port."""
    mounted = binds(services["cdc-daemon"])
    assert mounted["/etc/cdc-daemon/cdc-daemon.yaml"] == "./cdc-daemon.yaml"
    assert mounted["/run/secrets/database-url"] == "./database-url"
    assert configuration.web.listen == "0.0.0.0:9645"
    assert configuration.sink.hosts == ["http://opensearch:9200"]
    source = psycopg.conninfo.conninfo_to_dict(configuration.source.dsn.get_secret_value())
    assert source["host"] == "postgres"
    assert source["dbname"] == services["postgres"]["environment"]["POSTGRES_DB"]


def test_prometheus_scrapes_the_daemon_and_has_the_rules(
    folder: Path, services: dict[str, dict[str, Any]]
) -> None:
    """The paths in its configuration are mounted, and its target is the daemon's port."""
    mounted = binds(services["prometheus"])
    configuration = read(folder / mounted["/etc/prometheus/prometheus.yml"])
    (job,) = configuration["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["cdc-daemon:9645"]}]
    for path in configuration["rule_files"]:
        assert mounted[path] == "../prometheus/rules.yaml"


def test_grafana_has_the_data_source_and_the_dashboard(
    folder: Path, services: dict[str, dict[str, Any]]
) -> None:
    """Both are provisioned, and the dashboard is also the first page."""
    mounted = binds(services["grafana"])
    provisioning = folder / mounted["/etc/grafana/provisioning"]
    (source,) = read(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = read(provisioning / "dashboards" / "cdc-daemon.yaml")["providers"]
    (dashboard,) = (path for path in mounted if path.startswith(provider["options"]["path"]))
    assert mounted[dashboard] == "../grafana/replication-delay.json"
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == dashboard


def test_the_database_takes_its_first_rows_and_the_workload(
    folder: Path,
    services: dict[str, dict[str, Any]],
    private_postgres: StartPostgres,
    configuration: Any,
) -> None:
    """hotel.sql runs on a real PostgreSQL; the daemon's role may read and follow, and not write."""
    options = services["postgres"]["command"]
    settings = dict(each.split("=") for each in options[2::2])
    server = private_postgres(settings=settings)
    script = (folder / "postgres" / "hotel.sql").read_text(encoding="utf-8")
    with psycopg.connect(server.dsn, autocommit=True) as owner:
        owner.execute(script)
        _book(owner, (folder / "load" / "booking.sql").read_text(encoding="utf-8"))
        assert owner.execute("select count(*) from booking").fetchone() == (1,)
        published = owner.execute(
            "select schemaname || '.' || tablename from pg_publication_tables where pubname = %s",
            [configuration.source.publication.name],
        ).fetchall()
        assert {name for (name,) in published} == {
            projection.table for projection in configuration.projections.values()
        }
        owner.execute("set role cdc_daemon")
        assert owner.execute("select count(*) from room").fetchone() == (5000,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute("delete from booking")
        owner.execute("select pg_create_logical_replication_slot('cdc_hotel', 'pgoutput')")
        owner.execute("select pg_drop_replication_slot('cdc_hotel')")


def _book(owner: psycopg.Connection, script: str) -> None:
    """Run the workload's transaction once, pgbench's variables filled in by hand."""
    drawn = dict(re.findall(r"^\\set (\w+) random\((\d+), \d+\)$", script, re.MULTILINE))
    statements = re.sub(r"^(\\|--).*$", "", script, flags=re.MULTILINE)
    owner.execute(re.sub(r"(?<!:):(\w+)", lambda name: drawn[name[1]], statements))
