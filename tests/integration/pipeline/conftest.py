"""What the tests of the whole daemon share: daemons, and the servers that they may break."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest
from psycopg import sql

from cdc_daemon.embedded.ports import free_port
from tests.generators.rest import Rest
from tests.generators.running_daemon import RunningDaemon
from tests.generators.slow_load import CREATE, FILL, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.conftest import Database

EACH_CHANGE_VERSION = 160000
"""From here on each change can be a part by itself, however small its transaction is."""


class StartDaemon(Protocol):
    """Makes a daemon that follows the test's database; it is ended with the test."""

    def __call__(
        self,
        projections: Mapping[str, Any],
        *,
        start: bool = True,
        folder: str = ".",
        source: Mapping[str, Any] | None = None,
        sink: Mapping[str, Any] | None = None,
        **sections: Any,
    ) -> RunningDaemon:
        """Further keyword arguments are sections of the configuration.

        Daemons of one pipeline need a `folder` each.
        """


@pytest.fixture
def rest(opensearch: embedded.OpenSearchServer) -> Iterator[Rest]:
    """HTTP to the OpenSearch; it is brought back to life after the test."""
    yield Rest(opensearch.url)
    opensearch.resume()
    opensearch.start()


@pytest.fixture
def start_daemon(
    database: Database, opensearch: embedded.OpenSearchServer, tmp_path: Path, rest: Rest
) -> Iterator[StartDaemon]:
    """Run daemons on the test's database; shows their logs when the test fails."""
    pipeline = f"t_{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:

        def make(
            projections: Mapping[str, Any],
            *,
            start: bool = True,
            folder: str = ".",
            source: Mapping[str, Any] | None = None,
            sink: Mapping[str, Any] | None = None,
            **sections: Any,
        ) -> RunningDaemon:
            port = free_port()
            configuration: dict[str, Any] = {
                "name": pipeline,
                "source": {"type": "postgres", "dsn": database.dsn, **(source or {})},
                "sink": {"type": "opensearch", "hosts": [opensearch.url], **(sink or {})},
                "projections": projections,
                "state": {"path": str(tmp_path / folder / "data")},
                **sections,
                "web": {"listen": f"127.0.0.1:{port}", **sections.get("web", {})},
            }
            file = tmp_path / folder / "cdc-daemon.yaml"
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(configuration))
            daemon = RunningDaemon(file, port, configuration["source"]["dsn"])
            stack.callback(_end, daemon)
            if start:
                daemon.start()
            return daemon

        yield make
        opensearch.resume()
    for name in rest.get("/_alias"):
        if not name.startswith((".", "cdc-daemon-")):
            rest.delete(f"/{name}")


@pytest.fixture
def items(database: Database) -> Iterator[psycopg.Connection]:
    """A table of many chunks, with some large values."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(CREATE)
        connection.execute("alter table item alter body set storage external")
        connection.execute(FILL, [1, ROWS])
        yield connection


def stream_early(dsn: str) -> None:
    """Have the database's transactions streamed before they end, for connections to come."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        settings = {"logical_decoding_work_mem": "64kB"}
        if connection.info.server_version >= EACH_CHANGE_VERSION:
            settings["debug_logical_replication_streaming"] = "immediate"
        for name, value in settings.items():
            statement = sql.SQL("alter database {} set {} = {}")
            database = sql.Identifier(connection.info.dbname)
            connection.execute(statement.format(database, sql.Identifier(name), value))


def _end(daemon: RunningDaemon) -> None:
    daemon.close()
    print(daemon.tail())  # noqa: T201 - pytest shows it with a test that failed
