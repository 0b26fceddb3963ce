"""What the tests of posted changes share: a table, its read models, a daemon that takes posts."""

from __future__ import annotations

import itertools
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.client import VERSION_SQL
from cdc_daemon.embedded.ports import free_port
from tests.conftest import fresh_database
from tests.generators.posts import Answer, post
from tests.generators.rest import Rest
from tests.generators.running_daemon import RunningDaemon
from tests.generators.stopped_stream import stream_stopped
from tests.integration.pipeline.conftest import (  # noqa: F401 - the fixtures, for all tests here
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cdc_daemon import embedded

KEY = "posts-and-nothing-else"
OWNER_KEY = "may-do-everything"
TAKES_POSTS = {"api_key": OWNER_KEY, "changes": {"keys": {"shop": KEY}}}
TABLE = """create table hotel (id int primary key, name text, stars numeric(3,1),
    draft bool not null default false)"""
HOTELS = {
    "from": "public.hotel",
    "where": "not draft",
    "fields": ["id", "name", "stars"],
    "freshness": "200ms",
    "max_document_bytes": "20kB",
}
CARDS = {"from": "public.hotel", "fields": ["id"], "routing": "id"}
ROOM = "create table room (id int primary key, hotel_id int, kind text)"
SUITES = {
    "from": "public.hotel",
    "fields": ["id"],
    "embed": {"rooms": {"many": "public.room", "on": {"hotel_id": "id"}, "value": "kind"}},
    "freshness": "200ms",
}
NUMBERS = itertools.count(1)


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

    def name_shown(self, id_: int) -> str | None:
        """What its document says."""
        found = self.document(id_)
        return None if found is None else found["_source"]["name"]

    def stream_stopped(self) -> AbstractContextManager[None]:
        """The server sends nothing for a while; the daemon runs, and takes what is posted."""
        return stream_stopped(self.dsn)


def version_of(connection: psycopg.Connection[Any]) -> str:
    """Of what the open transaction has written."""
    found = connection.execute(VERSION_SQL).fetchone()
    assert found is not None
    return str(found[0])


@pytest.fixture(scope="module")
def shop(
    postgres_server: embedded.PostgresServer,
    opensearch: embedded.OpenSearchServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    """Tests of a module share it, with rows of their own, and leave it running."""
    name = f"shop_{uuid.uuid4().hex[:8]}"
    to_opensearch = Rest(opensearch.url)
    with fresh_database(postgres_server) as database:
        with psycopg.connect(database.dsn) as connection:
            connection.execute(f"{TABLE}; {ROOM}".encode())
        daemon = following(database.dsn, opensearch.url, name, tmp_path_factory.mktemp(name))
        daemon.start()
        daemon.wait_until("streaming")
        yield Shop(database.dsn, daemon, to_opensearch)
        daemon.close()
        print(daemon.tail())  # noqa: T201 - pytest shows it with a test that failed
    to_opensearch.delete("/hotels-000001,cards-000001,suites-000001")


def following(dsn: str, opensearch_url: str, name: str, folder: Path) -> RunningDaemon:
    """A daemon that is yet to be started."""
    port = free_port()
    configuration = {
        "name": name,
        "source": {"type": "postgres", "dsn": dsn},
        "sink": {"type": "opensearch", "hosts": [opensearch_url]},
        "projections": {"hotels": HOTELS, "cards": CARDS, "suites": SUITES},
        "state": {"path": str(folder / "data")},
        "web": {"listen": f"127.0.0.1:{port}", **TAKES_POSTS},
    }
    file = folder / "cdc-daemon.yaml"
    file.write_text(json.dumps(configuration))
    return RunningDaemon(file, port, dsn)


@pytest.fixture
def hotel() -> int:
    """The id of a hotel that no other test has."""
    return next(NUMBERS)
