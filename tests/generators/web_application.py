"""A web application of deploy/examples on the servers of the tests: its daemon, two web nodes."""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from ruamel.yaml import YAML

from cdc_daemon.embedded.ports import free_port
from cdc_daemon.outside.daemon_process import DaemonProcess, running_daemon
from deploy.examples.showcase.nodes import running_nodes
from deploy.examples.showcase.settings import Settings
from deploy.examples.showcase.stage import EXAMPLES
from deploy.examples.showcase.strong import let_commits_wait
from tests.generators.rest import Refused, Rest

if TYPE_CHECKING:
    from collections.abc import Iterator

LOAD_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class WebApplication:
    """The addresses of its two nodes, and what is behind them."""

    nodes: list[str]
    dsn: str
    daemon: DaemonProcess

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the command store."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running_application(
    name: str, rows: str, dsn: str, opensearch_url: str, freshness: str, *, strong: bool = False
) -> Iterator[WebApplication]:
    """Run an example's application on `rows`, in an empty database; refreshed by `freshness`.

    `strong`: commits may wait for the daemon, for as long as the server runs.
    """
    with psycopg.connect(dsn) as connection:
        connection.execute((EXAMPLES / name / "schema.sql").read_text().encode())
        connection.execute(rows.encode())
    configuration = (EXAMPLES / name / "cdc-daemon.yaml").read_text()
    variables = {"DATABASE_URL": dsn, "OPENSEARCH_URL": opensearch_url, "FRESHNESS": freshness}
    try:
        with running_daemon(configuration, free_port(), variables, _quiet) as daemon:
            assert daemon.wait_until(lambda shown: shown.get("state") == "streaming", LOAD_SECONDS)
            if strong:
                let_commits_wait(daemon, variables)
            settings = Settings(dsn, opensearch_url, daemon.url, secrets.token_urlsafe())
            ports = [free_port(), free_port()]
            with running_nodes(name, settings, ports, _quiet) as nodes:
                yield WebApplication(nodes, dsn, daemon)
    finally:
        _forget(name, configuration, Rest(opensearch_url))


def _forget(name: str, configuration: str, opensearch: Rest) -> None:
    """Leave nothing in the OpenSearch that other tests use as well."""
    for read_model in YAML(typ="safe").load(configuration)["projections"]:
        opensearch.delete(f"/{read_model}-0*?expand_wildcards=all")
    with suppress(Refused):  # nothing has been stored
        opensearch.delete(f"/cdc-daemon-checkpoints/_doc/{name}?refresh=true")


def _quiet(_: str) -> None:
    """Nobody waits for these servers alone."""
