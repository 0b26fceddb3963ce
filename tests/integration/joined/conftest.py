"""What the tests of joined read models at work share: a store of hotels, and what it must show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.config.loader import load
from cdc_daemon.explaining import document_sql
from tests.generators.oracle import assert_equal
from tests.generators.rest import Refused
from tests.generators.running_daemon import until
from tests.integration.pipeline.conftest import (  # noqa: F401 - the fixtures, for all tests here
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon

TABLES = """
create table chain (id int primary key, name text not null);
create table hotel (id int primary key, name text not null, chain_id int, notes text);
create table room (id int primary key, hotel_id int, kind text, price numeric(10,2));
create table tag (id int primary key, name text);
create table hotel_tag (hotel_id int, tag_id int, primary key (hotel_id, tag_id));
"""
HOTELS: dict[str, Any] = {
    "hotels": {
        "from": "hotel",
        "fields": ["id", "name", "notes"],
        "embed": {
            "chain": {"one": "chain", "on": {"id": "chain_id"}, "fields": ["name"]},
            "rooms": {"many": "room", "on": {"hotel_id": "id"}, "fields": ["id", "kind", "price"]},
            "cheapest": {"min": "room", "on": {"hotel_id": "id"}, "value": "price"},
            "beds": {"count": "room", "on": {"hotel_id": "id"}},
            "tags": {
                "many": "tag",
                "through": {
                    "table": "hotel_tag",
                    "on": {"hotel_id": "id"},
                    "to": {"id": "tag_id"},
                },
                "value": "name",
            },
        },
    }
}


@dataclass
class Store:
    """The tables, and what the read models over them must hold."""

    dsn: str
    opensearch: Rest

    def execute(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with psycopg.connect(self.dsn) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def run_alone(self, statement: str) -> None:
        """Run a statement that can't be in a transaction."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def found(self, document_id: int) -> Any:
        """What a search finds of a hotel; None where there is none."""
        query = {"query": {"ids": {"values": [str(document_id)]}}}
        hits = self.opensearch.post("/hotels/_search", query)["hits"]["hits"]
        return hits[0]["_source"] if hits else None

    def assert_equal(self, daemon: RunningDaemon) -> int:
        """Every document is what the source says, by the SQL that its projection means.

        Return how many there are.
        """
        loaded = load(daemon.file, {})
        queries = {
            name: document_sql(loaded, name, None) for name in loaded.configuration.projections
        }
        return assert_equal(self.dsn, self.opensearch, queries)

    def wait_until_equal(self, daemon: RunningDaemon, seconds: float = 60.0) -> None:
        """For what the daemon must notice first: a table that was altered."""

        def is_equal() -> bool:
            try:
                self.assert_equal(daemon)
            except (AssertionError, Refused):
                return False
            return True

        until(is_equal, seconds, "all documents are right", poll_seconds=0.5)


@pytest.fixture
def store(database: Database, rest: Rest) -> Store:  # noqa: F811 - the fixture
    """The tables, empty."""
    made = Store(database.dsn, rest)
    made.execute(TABLES)
    return made
