"""Read tables in PostgreSQL keep the contract of every sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from connectors.postgres.readtables import ReadTables
from connectors.postgres.readtables.config import ReadTablesConfig
from tests.conformance.sink_suite import (  # noqa: F401 - fixtures of the suite
    PIPELINE,
    Search,
    SinkSuite,
    generation,
    writer,
)
from tests.conftest import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import PostgresServer

SCHEMA = "read models"


@pytest.fixture(scope="module")
def config(postgres_server: PostgresServer) -> Iterator[ReadTablesConfig]:
    """How to reach a database of these tests."""
    with fresh_database(postgres_server) as database:
        yield ReadTablesConfig.model_validate(
            {"type": "postgres", "dsn": database.dsn, "schema": SCHEMA}
        )


@pytest.fixture
def sink(config: ReadTablesConfig) -> Iterator[ReadTables]:
    """The sink, closed at the end."""
    made = ReadTables(config, pipeline=PIPELINE)
    yield made
    made.close()


@pytest.fixture
def other_sink(config: ReadTablesConfig) -> Iterator[ReadTables]:
    """The sink of another daemon."""
    made = ReadTables(config, pipeline=PIPELINE)
    yield made
    made.close()


@pytest.fixture
def search(config: ReadTablesConfig) -> Iterator[Search]:
    """A search that doesn't go through the sink."""
    with psycopg.connect(config.dsn.get_secret_value(), autocommit=True) as connection:

        def find(name: str) -> dict[str, Any]:
            statement = sql.SQL("select _id, _document from {} where _document is not null")
            relation = sql.Identifier(SCHEMA, name)
            return dict(connection.execute(statement.format(relation)).fetchall())

        yield find


class TestReadTables(SinkSuite):
    """PostgreSQL, a real one."""

    keeps_text = False
