"""What the tests of the whole daemon share: daemons, and the servers that they may break."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from tests.generators.daemons import StartDaemon, daemons
from tests.generators.rest import Rest
from tests.generators.slow_load import CREATE, FILL, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.conftest import Database

__all__ = ["StartDaemon"]

EACH_CHANGE_VERSION = 160000
"""From here on each change can be a part by itself, however small its transaction is."""


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
    """Run daemons on the test's database."""
    sink = {"type": "opensearch", "hosts": [opensearch.url]}
    with daemons(database.dsn, sink, tmp_path) as make:
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
