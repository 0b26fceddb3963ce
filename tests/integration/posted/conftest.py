"""What the tests of posted changes share: a table, its read model, and a daemon that takes posts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.client import VERSION_SQL
from tests.generators.posts import Answer, post
from tests.integration.pipeline.conftest import (  # noqa: F401 - the fixtures, for all tests here
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

KEY = "posts-and-nothing-else"
OWNER_KEY = "may-do-everything"
TABLE = """create table hotel (id int primary key, name text, stars numeric(3,1), draft bool not null
    default false)"""
HOTELS = {
    "from": "public.hotel",
    "where": "not draft",
    "fields": ["id", "name", "stars"],
    "freshness": "200ms",
}
JOINED = {"from": "public.hotel", "fields": ["id"], "routing": "name"}


@dataclass(frozen=True, slots=True)
class Shop:
    """A database with one table, and the daemon that makes its read models."""

    dsn: str
    daemon: RunningDaemon
    rest: Rest

    def connect(self, **settings: Any) -> psycopg.Connection[Any]:
        """As an application does."""
        return psycopg.connect(self.dsn, **settings)

    def post(self, body: object, key: str | None = KEY) -> Answer:
        """Post it, by hand."""
        return post(self.daemon.url, body, key)

    def post_change(self, version: str, **change: Any) -> Answer:
        """Post one change."""
        given = {"table": "public.hotel", "op": "upsert", **change}
        return self.post({"transactions": [{"version": version, "changes": [given]}]})

    def document(self, id_: int) -> dict[str, Any] | None:
        """What is stored of a hotel, searchable or not."""
        found: dict[str, Any] = self.rest.post("/hotels/_mget", {"ids": [str(id_)]})["docs"][0]
        return found if found["found"] else None


def version_of(connection: psycopg.Connection[Any]) -> str:
    """Of what the open transaction has written."""
    found = connection.execute(VERSION_SQL).fetchone()
    assert found is not None
    return str(found[0])


@pytest.fixture
def shop(database: Database, start_daemon: StartDaemon, rest: Rest) -> Shop:  # noqa: F811 - the fixtures
    """One whose daemon takes posts."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLE)
    daemon = start_daemon(
        {"hotels": HOTELS, "cards": JOINED},
        web={"api_key": OWNER_KEY, "changes": {"keys": {"shop": KEY}}},
    )
    daemon.wait_until()
    return Shop(database.dsn, daemon, rest)
