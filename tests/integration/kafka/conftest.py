"""What the tests of topics as a source share: topics, and a daemon that reads them."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from cdc_daemon.embedded.ports import free_port
from tests.generators.rest import Refused, Rest
from tests.generators.running_daemon import RunningDaemon, until
from tests.generators.topics import make_topics
from tests.integration.opensearch.tlsproxy import Certificates, make_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cdc_daemon import embedded

HOTEL = {"key": ["id"], "columns": {"id": "int", "name": "text", "price": "numeric(8,2)"}}
ROOM = {"key": ["id"], "columns": {"id": "int", "hotel_id": "int", "beds": "int"}}
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Shop:
    """Topics that somebody writes, and a daemon that reads them."""

    name: str
    bootstrap_servers: str
    daemon: RunningDaemon
    rest: Rest
    producer: Producer

    def topic(self, table: str) -> str:
        """The name of a table's topic."""
        return f"{self.name}.{table}"

    def write(self, table: str, key: Any, value: Any, **headers: str) -> None:
        """One message; `flush` sees that it is there."""
        self.producer.produce(
            self.topic(table),
            key=json.dumps(key).encode(),
            value=value
            if value is None or isinstance(value, bytes)
            else json.dumps(value).encode(),
            headers=list(headers.items()),
        )

    def hotels(self, rows: Mapping[int, str | None]) -> None:
        """Rows of hotels by their ids; None deletes."""
        for id_, name in rows.items():
            row = None if name is None else {"id": id_, "name": name, "price": 1.5}
            self.write("hotel", id_, row)
        self.flush()

    def flush(self) -> None:
        """Wait until Kafka has all of it."""
        assert self.producer.flush(SECONDS) == 0

    def documents(self, alias: str) -> dict[str, dict[str, Any]]:
        """All that searches of a read model find, by their ids."""
        hits = self.rest.post(f"/{alias}_{self.name}/_search", {"size": 10_000})["hits"]["hits"]
        return {hit["_id"]: hit["_source"] for hit in hits}

    def names(self, alias: str = "hotels") -> dict[str, str]:
        """What searches show of hotels."""
        return {id_: shown["name"] for id_, shown in self.documents(alias).items()}

    def until_shown(self, rows: Mapping[str, str], alias: str = "hotels") -> None:
        """Wait until searches show just these hotels."""
        until(lambda: self._is_shown(rows, alias), SECONDS, f"{alias} are {rows}")

    def configuration(self) -> dict[str, Any]:
        """As it is by now."""
        configuration: dict[str, Any] = json.loads(self.daemon.file.read_text())
        return configuration

    def change(self, **sections: Any) -> None:
        """Another configuration, for the next start."""
        self.daemon.file.write_text(json.dumps({**self.configuration(), **sections}))

    def log(self) -> str:
        """All that the daemon has said."""
        return self.daemon.log.read_text()

    def _is_shown(self, rows: Mapping[str, str], alias: str) -> bool:
        try:
            return self.names(alias) == rows
        except (OSError, Refused):
            return False


@contextmanager
def shop_on(
    kafka: embedded.KafkaServer,
    opensearch: embedded.OpenSearchServer,
    folder: Path,
    *,
    name: str = "",
    partitions: int = 2,
    **source: Any,
) -> Iterator[Shop]:
    """Topics of hotels and rooms, and a daemon that isn't started.

    `name`: what the names of topics begin with, where the broker is the test's own.
    """
    name = name or f"k{uuid.uuid4().hex[:8]}"
    administrator = kafka.client_settings()
    topics = [f"{name}.hotel", f"{name}.room"]
    make_topics(kafka.bootstrap_servers, topics, partitions, administrator)
    file, port = folder / "cdc-daemon.yaml", free_port()
    tables = {
        "hotel": {**HOTEL, "topic": f"{name}.hotel"},
        "room": {**ROOM, "topic": f"{name}.room"},
    }
    configuration = {
        "name": name,
        "source": {
            "type": "kafka",
            "bootstrap_servers": kafka.bootstrap_servers,
            "settings": {"session.timeout.ms": 6000},  # the least: a killed member counts so long
            "format": "events",
            "tables": tables,
            **source,
        },
        "sink": {"type": "opensearch", "hosts": [opensearch.url]},
        "projections": {
            f"hotels_{name}": {"from": "hotel", "fields": "*", "freshness": "200ms"},
            f"cards_{name}": {
                "from": "hotel",
                "fields": ["id", "name"],
                "embed": {
                    "rooms": {"many": "room", "on": {"hotel_id": "id"}, "fields": ["id", "beds"]}
                },
                "freshness": "200ms",
            },
        },
        "state": {"path": str(folder / "data")},
        "web": {"listen": f"127.0.0.1:{port}"},
    }
    file.write_text(json.dumps(configuration))
    producer = Producer({**administrator, "linger.ms": 0})
    daemon, rest = RunningDaemon(file, port, ""), Rest(opensearch.url)
    try:
        yield Shop(name, kafka.bootstrap_servers, daemon, rest, producer)
    finally:
        daemon.close()
        print(daemon.tail())  # noqa: T201 - pytest shows it with a test that failed
        with suppress(Refused):  # what the daemon dropped a moment before
            rest.delete(f"/*_{name}-0*")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, a certificate for 127.0.0.1, and an authority that signed nothing."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def shop(
    kafka: embedded.KafkaServer, opensearch: embedded.OpenSearchServer, tmp_path: Path
) -> Iterator[Shop]:
    """On the servers that tests share."""
    with shop_on(kafka, opensearch, tmp_path) as made:
        yield made
