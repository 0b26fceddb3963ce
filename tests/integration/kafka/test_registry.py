"""Messages in Avro and the registry that has their schemas: there, away, strange, or refusing."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from confluent_kafka import Producer

from cdc_daemon.embedded.ports import free_port
from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.values.given import Digits
from connectors.kafka import KafkaSource
from connectors.kafka.config import KafkaConfig
from connectors.kafka.registry import Registry, RegistryConfig
from connectors.messages.avro import AvroSchema
from connectors.messages.message import MessageError
from tests.generators.avro_written import written
from tests.generators.daemons import daemons
from tests.generators.json_meaning import parse
from tests.generators.read_tables import TableSearch
from tests.generators.running_daemon import until
from tests.generators.topics import make_topics
from tests.integration.opensearch.tlsproxy import tls_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.schema_registry import RegistryServer
    from tests.integration.opensearch.tlsproxy import Certificates

FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "int"},
    {"name": "name", "type": ["null", "string"]},
    {
        "name": "price",
        "type": {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2},
    },
]
HOTEL: dict[str, Any] = {"type": "record", "name": "Hotel", "fields": FIELDS}
SECONDS = 60.0
PROTO = 'syntax = "proto3"; message Hotel { int32 id = 1; }'


class Hotels:
    """A topic that somebody writes events to, and a daemon that reads them into a read table."""

    def __init__(
        self, kafka: embedded.KafkaServer, registry: RegistryServer, dsn: str, make: StartDaemon
    ) -> None:
        self.topic = f"avro-{uuid.uuid4().hex[:8]}"
        make_topics(kafka.bootstrap_servers, [self.topic])
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 0})
        self._search = TableSearch(dsn)
        section = {"name": "text", "id": "int", "price": "numeric(8,2)"}
        source = {
            "type": "kafka",
            "bootstrap_servers": kafka.bootstrap_servers,
            "format": "events",
            "schema_registry": {"url": registry.url},
            "tables": {"hotel": {"topic": self.topic, "key": ["id"], "columns": section}},
        }
        self.daemon = make({"hotels": {"from": "hotel", "fields": "*"}}, source=source, start=False)
        written = json.loads(self.daemon.file.read_text())
        self.daemon.file.write_text(json.dumps({**written, "source": source}))

    def publish(self, id_: int, value: bytes) -> None:
        """One event; its key is JSON."""
        self._producer.produce(self.topic, key=str(id_).encode(), value=value)
        assert self._producer.flush(SECONDS) == 0

    def until_shown(self, names: dict[str, str]) -> dict[str, Any]:
        """Wait until just these hotels are found; their documents."""
        until(lambda: self._names() == names, SECONDS, f"hotels are {names}")
        return self._documents()

    def _documents(self) -> dict[str, Any]:
        try:
            return {one["_id"]: one["_source"] for one in self._search.hits("hotels")}
        except psycopg.Error:  # it isn't there yet
            return {}

    def _names(self) -> dict[str, str]:
        return {id_: one["name"] for id_, one in self._documents().items()}


@pytest.fixture
def hotels(
    kafka: embedded.KafkaServer, registry: RegistryServer, database: Database, tmp_path: Path
) -> Iterator[Hotels]:
    """The daemon isn't started."""
    sink = {"type": "postgres", "dsn": database.dsn}
    with daemons(database.dsn, sink, tmp_path) as make:
        yield Hotels(kafka, registry, database.dsn, make)


def test_events_in_avro_are_found(hotels: Hotels, registry: RegistryServer) -> None:
    """Beside JSON, also of a schema that comes while the registry stands still; what has no schema
    is a dead letter, and holds nothing up.
    """  # noqa: D205 - one sentence
    first = registry.register(hotels.topic, json.dumps(HOTEL))
    ritz = {"id": 1, "name": "Ritz", "price": Decimal("120.50")}
    hotels.publish(1, written(HOTEL, ritz, first))
    hotels.publish(2, b'{"id": 2, "name": "in JSON", "price": 7}')
    hotels.daemon.start()
    found = hotels.until_shown({"1": "Ritz", "2": "in JSON"})
    assert found["1"] == parse('{"id": 1, "name": "Ritz", "price": 120.50}')

    longer = {**HOTEL, "fields": [*FIELDS, {"name": "stars", "type": "int", "default": 0}]}
    second = registry.register(hotels.topic, json.dumps(longer))
    registry.pause()
    try:
        row = {"id": 3, "name": "Astoria", "price": Decimal("0.05"), "stars": 4}
        hotels.publish(3, written(longer, row, second))
        hotels.daemon.wait_until("waiting")
        assert "the schema registry doesn't answer" in hotels.daemon.said()
    finally:
        registry.resume()
    hotels.until_shown({"1": "Ritz", "2": "in JSON", "3": "Astoria"})

    hotels.publish(4, written(HOTEL, {**ritz, "id": 4}, 999_999))
    hotels.publish(1, written(HOTEL, {**ritz, "name": "Ritz!"}, first))
    hotels.until_shown({"1": "Ritz!", "2": "in JSON", "3": "Astoria"})
    until(lambda: hotels.daemon.total("cdc_poison_messages_total") >= 1, SECONDS, "it is counted")


def test_what_a_registry_has_is_learnt(registry: RegistryServer) -> None:
    """With the schemas that one names; what isn't Avro is known to be of no use."""
    money = {"type": "record", "name": "shop.Money", "fields": [{"name": "n", "type": "long"}]}
    registry.register("shop.Money", json.dumps(money))
    bill = {"type": "record", "name": "Bill", "fields": [{"name": "sum", "type": "shop.Money"}]}
    reference = {"name": "shop.Money", "subject": "shop.Money", "version": 1}
    id_ = registry.register("bill", json.dumps(bill), schemaType="AVRO", references=[reference])
    proto = registry.register("proto", PROTO, schemaType="PROTOBUF")
    known = Registry(RegistryConfig(url=registry.url))
    known.require()
    known.learn({id_, proto, 999_999})
    schema, refused = known.schemas[id_], known.schemas[proto]
    assert isinstance(schema, AvroSchema)
    whole = {**bill, "fields": [{"name": "sum", "type": money}]}
    assert schema.read(written(whole, {"sum": {"n": 5}})) == {"sum": {"n": Digits("5")}}
    assert isinstance(refused, MessageError)
    assert "PROTOBUF" in str(refused)
    assert 999_999 not in known.schemas


def test_one_that_is_none_is_told(registry: RegistryServer) -> None:
    """Where Apicurio's own interface is named, or nobody answers."""
    with pytest.raises(SourceError, match=r"is no schema registry.*/apis/ccompat/v7"):
        Registry(RegistryConfig(url=registry.own_url)).require()
    with pytest.raises(RetryError, match="doesn't answer"):
        Registry(RegistryConfig(url=f"http://127.0.0.1:{free_port()}")).require()


def test_check_looks_at_it(kafka: embedded.KafkaServer, registry: RegistryServer) -> None:
    """Whether it is one, and answers."""
    levels = []
    for url in (registry.url, registry.own_url, f"http://127.0.0.1:{free_port()}"):
        section = {
            "type": "kafka",
            "bootstrap_servers": kafka.bootstrap_servers,
            "schema_registry": {"url": url},
            "tables": {"hotel": {"topic": "t", "key": ["id"], "columns": {"id": "int"}}},
        }
        source = KafkaSource(KafkaConfig.model_validate(section), pipeline="checked")
        found = {one.check: one.level for one in source.examine([])}
        source.close()
        levels.append(found["schema registry"])
    assert levels == ["ok", "problem", "problem"]


def test_one_that_is_protected_is_used_by_tls(
    registry: RegistryServer, certificates: Certificates
) -> None:
    """As its own user; who isn't, or isn't trusted, is told which key to set."""
    with tls_proxy(registry.port, certificates) as proxy:
        url = registry.url.replace(f"http://127.0.0.1:{registry.port}", proxy.url)
        section = {"url": url, "user": "daemon", "password": "s3cret"}
        trusted = {"tls": {"ca": certificates.ca}}
        Registry(RegistryConfig.model_validate({**section, **trusted})).require()
        wrong = {**section, **trusted, "password": "wrong"}
        with pytest.raises(SourceError, match=r"answers 401.*source.schema_registry.user"):
            Registry(RegistryConfig.model_validate(wrong)).require()
        with pytest.raises(SourceError, match=r"isn't trusted.*source.schema_registry.tls.ca"):
            Registry(RegistryConfig.model_validate(section)).require()
