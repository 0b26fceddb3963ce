"""A relay that writes an ordered log, and daemons that follow it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.daemons import daemons
from tests.integration.pipeline.conftest import (  # noqa: F401 - the fixtures, for all tests here
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cdc_daemon.embedded import KafkaServer
    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.running_daemon import RunningDaemon

TABLES = ("public.hotel", "public.room")
CREATE = """
create table hotel (id int primary key, name text, big text);
alter table hotel alter big set storage external;
create table room (id int primary key, hotel_id int, price numeric);
insert into hotel select g, 'hotel ' || g, repeat('x', 3000) from generate_series(1, 50) g;
insert into room select g, g % 50 + 1, g / 7.0 from generate_series(1, 150) g
"""
HOTELS: dict[str, Any] = {
    "hotels": {
        "from": "public.hotel",
        "fields": ["id", "name"],
        "embed": {
            "rooms": {"many": "public.room", "on": {"hotel_id": "id"}, "fields": ["id", "price"]}
        },
    },
    "names": {"from": "public.hotel", "fields": ["id", "name", "big"]},
}


class Relays:
    """Relays of one database, and what follows the log that they write."""

    def __init__(self, make_relay: StartDaemon, make: StartDaemon, kafka: KafkaServer) -> None:
        self._make_relay, self._make = make_relay, make
        self.kafka = kafka
        self.log = f"log-{uuid.uuid4().hex[:8]}"

    def relay(self, folder: str = "relay", **sections: Any) -> RunningDaemon:
        """Of these tables; all of them are one pipeline."""
        return self._make_relay(
            {},
            folder=folder,
            source={"slot_wait": "5s"},
            sink={"topic_prefix": self.log, "log": self.log, "transactions": False},
            **{"relay": {"tables": list(TABLES), "snapshot": "never"}, **sections},
        )

    def source(self, **more: Any) -> dict[str, Any]:
        """What follows the log."""
        servers = self.kafka.bootstrap_servers
        return {"type": "relay", "bootstrap_servers": servers, "log": self.log, **more}

    def reader(
        self, projections: Mapping[str, Any] = HOTELS, *, start: bool = True, **sections: Any
    ) -> RunningDaemon:
        """Follows it."""
        source = self.source(**sections.pop("source", {}))
        return self._make(projections, folder="reader", start=start, source=source, **sections)


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """Two tables that are relayed."""
    with psycopg.connect(database.dsn, autocommit=True) as made:
        made.execute(CREATE)
        yield made


@pytest.fixture
def relays(
    database: Database,
    connection: psycopg.Connection,
    kafka: KafkaServer,
    start_daemon: StartDaemon,  # noqa: F811 - a fixture
    tmp_path: Path,
) -> Iterator[Relays]:
    """Of the test's database."""
    assert not connection.closed
    sink = {"type": "kafka", "bootstrap_servers": kafka.bootstrap_servers}
    with daemons(database.dsn, sink, tmp_path) as make:
        yield Relays(make, start_daemon, kafka)
        kafka.resume()
        kafka.start()
