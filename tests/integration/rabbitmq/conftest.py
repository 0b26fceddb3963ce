"""What the tests of RabbitMQ share: what is published to, and daemons that follow it."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.embedded.ports import free_port
from tests.generators.publisher import Publisher
from tests.generators.rest import Refused, Rest
from tests.generators.running_daemon import RunningDaemon, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded

HOTEL = {"key": ["id"], "columns": {"id": "bigint", "name": "text", "revision": "int"}}
ROOM = {"key": ["id"], "columns": {"id": "int", "hotel_id": "bigint", "price": "numeric(10,2)"}}


@dataclass(frozen=True, slots=True)
class Shop:
    """What is consumed, the daemon that does it, and its index."""

    name: str
    """Of queue or stream, of the pipeline, and of the first read model."""
    server: embedded.RabbitServer
    publisher: Publisher
    daemon: RunningDaemon
    rest: Rest

    def document(self, id_: int, alias: str = "") -> dict[str, Any] | None:
        """What is stored, searchable or not."""
        try:
            found: dict[str, Any] = self.rest.get(f"/{alias or self.name}/_doc/{id_}")["_source"]
        except Refused:
            return None
        return found

    def shows(self, id_: int, **fields: Any) -> None:
        """Wait until its document has these values."""
        until(lambda: self._has(id_, fields), 30, f"hotel {id_} has {fields}")

    def is_gone(self, id_: int) -> None:
        """Wait until there is no such document."""
        until(lambda: self.document(id_) is None, 30, f"hotel {id_} is gone")

    def restart(self, **sections: Any) -> None:
        """Start it, with parts of its configuration changed."""
        self.change(**sections)
        self.daemon.start()
        self.daemon.wait_until("streaming")

    def change(self, **sections: Any) -> None:
        """Another configuration, for the next start."""
        configuration = json.loads(self.daemon.file.read_text())
        self.daemon.file.write_text(json.dumps({**configuration, **sections}))

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters of the first read model."""
        self.rest.post("/cdc-daemon-deadletters/_refresh")
        query = {"query": {"term": {"projection": self.name}}, "size": 100}
        hits = self.rest.post("/cdc-daemon-deadletters/_search", query)["hits"]["hits"]
        return [hit["_source"] for hit in hits]

    def _has(self, id_: int, fields: dict[str, Any]) -> bool:
        document = self.document(id_)
        return document is not None and fields.items() <= document.items()


@contextmanager
def opened(
    server: embedded.RabbitServer,
    opensearch: embedded.OpenSearchServer,
    folder: Path,
    source: dict[str, Any],
    arguments: dict[str, Any],
) -> Iterator[Shop]:
    """A queue or a stream, as `source` names it (`NAME` stands for its name), and its daemon."""
    name = f"shop-{uuid.uuid4().hex[:8]}"
    publisher = Publisher(server.url)
    publisher.declare(name, arguments)
    port = free_port()
    written = json.dumps({"type": "rabbitmq", "url": server.url, "format": "events", **source})
    configuration = {
        "name": name,
        "source": json.loads(written.replace("NAME", name)),
        "sink": {"type": "opensearch", "hosts": [opensearch.url]},
        "projections": {name: {"from": "hotel", "fields": "*", "freshness": "200ms"}},
        "state": {"path": str(folder / "data")},
        "web": {"listen": f"127.0.0.1:{port}"},
    }
    file = folder / "cdc-daemon.yaml"
    file.write_text(json.dumps(configuration))
    shop = Shop(name, server, publisher, RunningDaemon(file, port, ""), Rest(opensearch.url))
    try:
        yield shop
    finally:
        shop.daemon.close()
        print(shop.daemon.tail())  # noqa: T201 - pytest shows it with a test that failed
        publisher.delete(name)
        publisher.close()
        shop.rest.delete(f"/{name}*")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the daemons of a module."""
    return tmp_path_factory.mktemp("rabbitmq")
