"""The section that says where Kafka is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from connectors.kafka.config import KafkaConfig
from connectors.kafka.session import KafkaSection


def test_a_key_without_its_certificate_is_found_beforehand() -> None:
    """For librdkafka it would be an error when it connects."""
    tls = {"client_key": "key.pem"}
    with pytest.raises(ValidationError, match="`client_key` needs `client_cert`"):
        KafkaSection.model_validate({"bootstrap_servers": "kafka:9092", "tls": tls})


def shop(**formats: str | None) -> KafkaConfig:
    """Tables with these formats, and a topic of transactions."""
    columns = {"key": ["id"], "columns": {"id": "int"}}
    return KafkaConfig.model_validate(
        {
            "type": "kafka",
            "bootstrap_servers": "kafka:9092",
            "transactions": "shop.transaction",
            "tables": {
                name: {**columns, "topic": f"shop.{name}", "format": format_}
                for name, format_ in formats.items()
            },
        }
    )


def test_transactions_need_a_table_that_says_which_one_a_message_is_of() -> None:
    """Rows alone don't, nor do events of applications."""
    with pytest.raises(ValidationError, match="`transactions` needs a table with the format"):
        shop(hotel="flattened", room="events")


def test_tables_without_envelopes_are_of_no_transaction() -> None:
    """Beside others: an END counts what it waits for, and of these nothing can be told."""
    section = shop(hotel="flattened", room=None, **{"rates.day": "debezium"})
    assert section.in_transactions == {"public.room", "rates.day"}
