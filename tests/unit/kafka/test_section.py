"""The section that says where Kafka is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from connectors.kafka.session import KafkaSection


def test_a_key_without_its_certificate_is_found_beforehand() -> None:
    """For librdkafka it would be an error when it connects."""
    tls = {"client_key": "key.pem"}
    with pytest.raises(ValidationError, match="`client_key` needs `client_cert`"):
        KafkaSection.model_validate({"bootstrap_servers": "kafka:9092", "tls": tls})
