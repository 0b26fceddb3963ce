"""What the tests of the client share: a shop that books, its read model, its daemon."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from opensearchpy import OpenSearch

from cdc_daemon.client import ReadModels, Token, commit
from cdc_daemon.embedded.ports import free_port
from tests.generators.rest import Rest
from tests.generators.running_daemon import RunningDaemon, until
from tests.generators.stopped_stream import stream_stopped
from tests.integration.pipeline.conftest import (  # noqa: F401 - fixtures, for all tests here
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cdc_daemon import embedded

PATIENCE_SECONDS = 60.0
"""What a busy machine may take for what takes some milliseconds."""
TABLE = "create table booking (id int generated always as identity primary key, guest text)"
RARELY = "30s"
"""A read model that nobody waits for is not refreshed within a test."""
CONSISTENCY = {
    "policies": {
        "own": {"strategy": "causal", "timeout": "30s", "on_timeout": "source"},
        "hurried": {"strategy": "causal", "timeout": "1s", "on_timeout": "stale"},
        "fresh": {"strategy": "eventual", "max_staleness": "60s", "on_timeout": "error"},
    },
    "rules": [
        {"function": "my-*", "user": "guest", "policy": "own"},
        {"function": "my-*", "policy": "hurried"},
        {"user": "staff", "policy": "fresh"},
    ],
}


@dataclass(frozen=True, slots=True)
class Shop:
    """A database with one table, and the daemon that makes its read model."""

    dsn: str
    daemon: RunningDaemon
    opensearch_url: str

    @property
    def url(self) -> str:
        """The daemon's address."""
        return self.daemon.url

    def book(self, guest: str) -> Token:
        """Commit a booking."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("insert into booking (guest) values (%s)", [guest])
            return commit(connection)

    def from_source(self, guest: str) -> list[int]:
        """What PostgreSQL has of a guest."""
        with psycopg.connect(self.dsn) as connection:
            found = connection.execute("select id from booking where guest = %s", [guest])
            return [row[0] for row in found.fetchall()]

    @contextmanager
    def models(self, daemons: Any = None, **settings: Any) -> Iterator[ReadModels]:
        """A client, as an application has it."""
        opensearch = OpenSearch(self.opensearch_url)
        with ReadModels(daemons or self.url, opensearch, **settings) as models:
            yield models
        opensearch.close()

    def stream_stopped(self) -> AbstractContextManager[None]:
        """The server sends nothing for a while; the daemon runs, and knows that it is behind."""
        return stream_stopped(self.dsn)


def of(guest: str) -> dict[str, Any]:
    """A search for the bookings of a guest."""
    return {"query": {"term": {"guest": guest}}}


@pytest.fixture(scope="module")
def shop(
    postgres_server: embedded.PostgresServer,
    opensearch: embedded.OpenSearchServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    """It books, and its daemon streams; tests of a module share it, and leave it running."""
    name = f"shop_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as administrator:
        administrator.execute(f"create database {name}")
        dsn = postgres_server.dsn_of(name)
        with psycopg.connect(dsn) as connection:
            connection.execute(TABLE)
        daemon = following(dsn, opensearch.url, name, tmp_path_factory.mktemp(name))
        daemon.start()
        daemon.wait_until("streaming")
        yield Shop(dsn, daemon, opensearch.url)
        daemon.close()
        print(daemon.tail())  # noqa: T201 - pytest shows it with a test that failed
        Rest(opensearch.url).delete("/bookings-000001")
        remove(administrator, name)


def following(dsn: str, opensearch_url: str, name: str, folder: Path) -> RunningDaemon:
    """A daemon of the shop, which is yet to be started."""
    port = free_port()
    fields = {"id": None, "guest": {"type": "keyword"}}
    bookings = {"from": "public.booking", "fields": fields, "freshness": RARELY}
    configuration = {
        "name": name,
        "source": {"type": "postgres", "dsn": dsn},
        "sink": {"type": "opensearch", "hosts": [opensearch_url]},
        "projections": {"bookings": bookings},
        "state": {"path": str(folder / "data")},
        "web": {"listen": f"127.0.0.1:{port}"},
        "consistency": CONSISTENCY,
    }
    file = folder / "cdc-daemon.yaml"
    file.write_text(json.dumps(configuration))
    return RunningDaemon(file, port, dsn)


def remove(administrator: psycopg.Connection, database: str) -> None:
    """The database and its slot, which a reader that has just ended may hold for a moment."""
    held = "select 1 from pg_replication_slots where database = %s and active"
    until(
        lambda: administrator.execute(held, [database]).fetchone() is None,
        PATIENCE_SECONDS,
        "nobody reads the slot",
    )
    administrator.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s",
        [database],
    )
    administrator.execute(f"drop database {database} with (force)")


@pytest.fixture
def guest() -> str:
    """A guest who books in this test only."""
    return f"guest {uuid.uuid4().hex[:8]}"
