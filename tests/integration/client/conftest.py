"""What the tests of the client share: a shop that books, its read model, its daemon."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from opensearchpy import OpenSearch

from cdc_daemon.client import ReadModels, Token, commit
from tests.integration.pipeline.conftest import (  # noqa: F401 - fixtures, for all tests here
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

PATIENCE_SECONDS = 60.0
"""What a busy machine may take for what takes some milliseconds."""
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

    @contextmanager
    def stream_stopped(self) -> Iterator[None]:
        """The server sends nothing for a while; the daemon runs, and knows that it is behind."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            row = connection.execute(
                "select active_pid from pg_replication_slots where database = current_database()"
            ).fetchone()
        assert row is not None
        os.kill(row[0], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(row[0], signal.SIGCONT)


def of(guest: str) -> dict[str, Any]:
    """A search for the bookings of a guest."""
    return {"query": {"term": {"guest": guest}}}


@pytest.fixture
def shop(
    database: Database,
    opensearch: embedded.OpenSearchServer,
    start_daemon: StartDaemon,  # noqa: F811 - pytest's way to ask for it
) -> Shop:
    """It books, and its daemon streams."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(
            "create table booking (id int generated always as identity primary key, guest text)"
        )
    fields = {"id": None, "guest": {"type": "keyword"}}
    bookings = {"from": "public.booking", "fields": fields, "freshness": RARELY}
    daemon = start_daemon({"bookings": bookings}, consistency=CONSISTENCY)
    daemon.wait_until("streaming")
    return Shop(database.dsn, daemon, opensearch.url)
