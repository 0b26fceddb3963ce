"""Everything that an application needs, started by one command: servers, daemon, two web nodes."""

from __future__ import annotations

import secrets
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from cdc_daemon import embedded
from cdc_daemon.embedded.ports import free_port, is_free
from cdc_daemon.embedded.progress import to_stderr
from cdc_daemon.errors import CdcError, StopError
from cdc_daemon.outside.daemon_process import DaemonProcess, running_daemon
from cdc_daemon.outside.signals import Interrupted, ignore_signals, interruptions
from deploy.examples.showcase.nodes import running_nodes
from deploy.examples.showcase.settings import Settings
from deploy.examples.showcase.strong import let_commits_wait

if TYPE_CHECKING:
    from cdc_daemon.embedded import PostgresServer

EXAMPLES: Final = Path(__file__).parents[1]
USUAL_PORTS: Final = (8001, 8002)
SETTINGS: Final = {"synchronous_commit": "local"}
"""Of PostgreSQL: commits wait for the daemon where they ask for it, and not otherwise."""
HEAP: Final = "768m"
LOAD_SECONDS: Final = 180.0
LOOK_SECONDS: Final = 1.0
FRESHNESS: Final = "15s"
"""Long enough for a person to see a stale read. Who waits makes it as short as it can be."""


def main(application: str, *, strong: bool = False) -> None:
    """Start it all, say where it is, and stop it all at Ctrl-C. Ends the program.

    `strong`: some of its commits wait for the daemon.
    """
    try:
        with interruptions(), ExitStack() as stack:
            daemon = _set_up(stack, application, strong=strong)
            stack.callback(ignore_signals)
            while True:
                daemon.require_running()
                time.sleep(LOOK_SECONDS)
    except Interrupted as interruption:
        to_stderr("Everything has been stopped.")
        sys.exit(interruption.exit_code)
    except CdcError as error:
        to_stderr(f"error: {error}")
        sys.exit(error.exit_code)


def _set_up(stack: ExitStack, application: str, *, strong: bool) -> DaemonProcess:
    source = stack.enter_context(embedded.postgres(settings=SETTINGS))
    dsn = create(source, application, ("schema.sql", "rows.sql"))
    sink = stack.enter_context(embedded.opensearch(heap=HEAP, quick=True))
    variables = {"DATABASE_URL": dsn, "OPENSEARCH_URL": sink.url, "FRESHNESS": FRESHNESS}
    configuration = (EXAMPLES / application / "cdc-daemon.yaml").read_text()
    daemon = stack.enter_context(running_daemon(configuration, free_port(), variables, to_stderr))
    if not daemon.wait_until(lambda shown: shown.get("state") == "streaming", LOAD_SECONDS):
        raise StopError(f"the first load did not end within {LOAD_SECONDS:.0f} s: try again")
    if strong:
        let_commits_wait(daemon, variables)
    settings = Settings(dsn, sink.url, daemon.url, secrets.token_urlsafe())
    ports = [port if is_free(port) else free_port() for port in USUAL_PORTS]
    nodes = stack.enter_context(running_nodes(application, settings, ports, to_stderr))
    for line in (f"Open {nodes[0]} or {nodes[1]}", f"psql: {dsn}", "Ctrl-C ends it."):
        to_stderr(line)
    return daemon


def create(server: PostgresServer, name: str, scripts: tuple[str, ...]) -> str:
    """A database of that name, filled by scripts of the example; its DSN."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    dsn = server.dsn_of(name)
    with psycopg.connect(dsn) as connection:
        for script in scripts:
            connection.execute((EXAMPLES / name / script).read_text().encode())
    return dsn
