"""Servers that these tests may break, daemons on them, and one daemon that follows hotels."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.embedded.ports import free_port
from tests.generators import hotels
from tests.generators.rest import Rest
from tests.generators.running_daemon import RunningDaemon, until
from tests.integration.pipeline.conftest import (  # the same fixtures, for these tests as well
    opensearch,
    postgres_server,
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import OpenSearchServer, PostgresServer

__all__ = ["opensearch", "postgres_server", "rest", "start_daemon"]


@pytest.fixture(scope="module")
def following(
    postgres_server: PostgresServer,
    opensearch: OpenSearchServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[hotels.Hotels]:
    """A daemon that has loaded hotels, for all tests of a module."""
    name = f"hotels_{uuid.uuid4().hex[:8]}"
    folder, port = tmp_path_factory.mktemp(name), free_port()
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    dsn = postgres_server.dsn_of(name)
    hotels.fill(dsn)
    said = {
        "name": name,
        "source": {"type": "postgres", "dsn": dsn},
        "sink": {"type": "opensearch", "hosts": [opensearch.url]},
        "projections": hotels.PROJECTIONS,
        "state": {"path": str(folder / "data")},
        "web": {"listen": f"127.0.0.1:{port}"},
    }
    file = folder / "cdc-daemon.yaml"
    file.write_text(json.dumps(said))
    daemon, server = RunningDaemon(file, port, dsn), Rest(opensearch.url)
    daemon.start()
    try:
        yield hotels.Hotels(daemon, server, dsn)
    finally:
        daemon.close()
        print(daemon.tail())  # noqa: T201 - pytest shows it with a test that failed
        for projection in hotels.PROJECTIONS:
            server.delete(f"/{projection}-*")
        _drop(postgres_server, name)


def _drop(server: PostgresServer, name: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots"
            " where database = %s and active",
            [name],
        )
        until(lambda: _free(connection, name), 10, "the slot is free")
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
            " where database = %s",
            [name],
        )
        connection.execute(f"drop database {name} with (force)")


def _free(connection: psycopg.Connection, name: str) -> bool:
    query = "select from pg_replication_slots where database = %s and active"
    return connection.execute(query, [name]).fetchone() is None
