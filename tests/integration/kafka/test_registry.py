"""Messages in Avro and the registry that has their schemas: there, away, strange, or refusing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.embedded.ports import free_port
from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.values.given import Digits
from connectors.kafka.registry import Registry, RegistryConfig
from connectors.messages.avro import AvroSchema
from connectors.messages.message import MessageError
from tests.generators.avro_written import written
from tests.generators.running_daemon import until
from tests.integration.kafka.conftest import shop_on
from tests.integration.opensearch.tlsproxy import tls_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.generators.schema_registry import RegistryServer
    from tests.integration.kafka.conftest import Shop
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
PROTO = 'syntax = "proto3"; message Hotel { int32 id = 1; }'


@pytest.fixture
def shop(
    kafka: embedded.KafkaServer,
    opensearch: embedded.OpenSearchServer,
    registry: RegistryServer,
    tmp_path: Path,
) -> Iterator[Shop]:
    """Events of hotels, whose schemas the registry has."""
    section = {"url": registry.url}
    with shop_on(kafka, opensearch, tmp_path, schema_registry=section) as made:
        yield made


def publish(shop: Shop, schema: dict[str, Any], id_: int, hotel: dict[str, Any]) -> None:
    """One event; its key is JSON."""
    shop.write("hotel", hotel["id"], written(schema, hotel, id_))
    shop.flush()


def test_events_in_avro_are_found(shop: Shop, registry: RegistryServer) -> None:
    """Beside JSON, also of a schema that comes while the registry stands still; what has no schema
    is a dead letter, and holds nothing up.
    """  # noqa: D205 - one sentence
    first = registry.register(shop.topic("hotel"), json.dumps(HOTEL))
    publish(shop, HOTEL, first, {"id": 1, "name": "Ritz", "price": Decimal("120.50")})
    shop.hotels({2: "in JSON"})
    shop.daemon.start()
    shop.until_shown({"1": "Ritz", "2": "in JSON"})
    assert shop.documents("hotels")["1"]["price"] == 120.5

    longer = {**HOTEL, "fields": [*FIELDS, {"name": "stars", "type": "int", "default": 0}]}
    second = registry.register(shop.topic("hotel"), json.dumps(longer))
    registry.pause()
    try:
        row = {"id": 3, "name": "Astoria", "price": Decimal("0.05"), "stars": 4}
        publish(shop, longer, second, row)
        shop.daemon.wait_until("waiting")
        until(lambda: "schema registry" in trouble(shop), 60, "it says what it waits for")
    finally:
        registry.resume()
    shop.until_shown({"1": "Ritz", "2": "in JSON", "3": "Astoria"})

    publish(shop, HOTEL, 999_999, {"id": 4, "name": "nobody knows", "price": Decimal(1)})
    publish(shop, HOTEL, first, {"id": 1, "name": "Ritz!", "price": Decimal(1)})
    shop.until_shown({"1": "Ritz!", "2": "in JSON", "3": "Astoria"})
    until(lambda: shop.daemon.total("cdc_poison_messages_total") >= 1, 60, "it is counted")


def trouble(shop: Shop) -> str:
    """What the daemon waits for."""
    said: str = shop.daemon.status().get("trouble", "")
    return said


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
