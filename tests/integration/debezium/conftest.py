"""The real Debezium, beside the Kafka and the PostgreSQL that tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.generators.debezium import ConnectServer, debezium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded


@pytest.fixture(scope="session")
def connect(kafka: embedded.KafkaServer) -> Iterator[ConnectServer]:
    """Kafka Connect with Debezium's connector: it takes seconds to start, so tests share it."""
    with debezium(kafka.bootstrap_servers) as server:
        yield server
