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
    index,
    writer,
)
from tests.conftest import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import PostgresServer
    from cdc_daemon.events import Generation
    from cdc_daemon.ports import Writer

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

    def test_what_a_view_still_shows_is_searched(
        self,
        config: ReadTablesConfig,
        sink: ReadTables,
        writer: Writer,  # noqa: F811 - the fixture
        generation: Generation,  # noqa: F811 - the fixture
        search: Search,
    ) -> None:
        """Also of a table that was given up: a view keeps it, with its rows, until it is gone."""
        writer.write([index(generation, "shown", 1)])
        sink.publish(generation)
        sink.drop_generation(generation)
        assert list(search(generation.projection)) == ["shown"]
        assert sink.is_searched(generation.projection)
        view = sql.Identifier(SCHEMA, generation.projection)
        with psycopg.connect(config.dsn.get_secret_value()) as connection:
            connection.execute(sql.SQL("drop view {}").format(view))
        assert not sink.is_searched(generation.projection)
