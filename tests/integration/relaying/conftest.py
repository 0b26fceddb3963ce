"""Relays that tests start on their database and on the Kafka that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import pytest

from tests.generators.daemons import daemons
from tests.generators.topics import end_of, records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.generators.running_daemon import RunningDaemon
    from tests.generators.topics import Record

CREATE = """
create table hotel (
    id int primary key, name text not null, stars int, price numeric(8,2), big text);
alter table hotel alter column big set storage external;
create table room (hotel int, number text, beds int, primary key (hotel, number))
"""
TABLES = ("public.hotel", "public.room")


class Relayed:
    """A relay of one test, and what it has written."""

    def __init__(self, daemon: RunningDaemon, prefix: str, kafka: embedded.KafkaServer) -> None:
        self.daemon = daemon
        self.prefix = prefix
        self.log = f"{prefix}.log"
        self._bootstrap_servers = kafka.bootstrap_servers
        self._login = kafka.client_settings()

    def records(self, *names: str) -> list[Record]:
        """What is committed in its topics, by their names without the prefix."""
        topics = [f"{self.prefix}.{name}" for name in names]
        return records(self._bootstrap_servers, topics, self._login)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The messages of a table, tombstones apart."""
        return [orjson.loads(one.value) for one in self.records(name) if one.value is not None]

    def written_so_far(self, name: str) -> int:
        """About how many messages a table has by now, while the daemon runs that writes them."""
        assert self.daemon.is_running, self.daemon.tail()
        return end_of(self._bootstrap_servers, f"{self.prefix}.{name}")

    def rows(self, name: str) -> dict[bytes, Any]:
        """What the messages of a table come to: by key, the row that is there."""
        rows: dict[bytes, Any] = {}
        for one in self.records(name):
            assert one.key is not None
            event = None if one.value is None else orjson.loads(one.value)
            after = None if event is None else event["after"]
            if after is None:
                rows.pop(one.key, None)
            else:
                rows[one.key] = after
        return rows


class StartRelay:
    """Makes relays of one pipeline."""

    def __init__(self, make: Any, prefix: str, kafka: embedded.KafkaServer) -> None:
        self._make = make
        self._prefix = prefix
        self._kafka = kafka

    def __call__(
        self,
        sink: dict[str, Any] | None = None,
        *,
        log: bool = False,
        snapshot: str = "initial",
        **more: Any,
    ) -> Relayed:
        """Make one, and start it unless told otherwise. `log`: it writes one."""
        logged = {"log": f"{self._prefix}.log"} if log else {}
        daemon = self._make(
            {},
            sink={"topic_prefix": self._prefix, **logged, **(sink or {})},
            relay={"tables": list(TABLES), "snapshot": snapshot},
            **more,
        )
        return Relayed(daemon, self._prefix, self._kafka)


@pytest.fixture
def hotels(database: Database) -> Iterator[psycopg.Connection]:
    """Two tables that are relayed."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(CREATE)
        yield connection


@pytest.fixture
def start_relay(
    database: Database, hotels: psycopg.Connection, kafka: embedded.KafkaServer, tmp_path: Path
) -> Iterator[StartRelay]:
    """Run relays of the test's database."""
    assert not hotels.closed
    sink = {"type": "kafka", "bootstrap_servers": kafka.bootstrap_servers}
    with daemons(database.dsn, sink, tmp_path) as make:
        yield StartRelay(make, tmp_path.name, kafka)
        kafka.resume()
        kafka.start()
