"""What `cdc-daemon check` says of topics."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from cdc_daemon.ports import TableRequest
from connectors.kafka import KafkaSource
from connectors.kafka.config import KafkaConfig
from tests.generators.topics import make_topics
from tests.integration.kafka.conftest import HOTEL

if TYPE_CHECKING:
    from cdc_daemon import embedded


def findings(
    kafka: embedded.KafkaServer, topic: str, format_: str, check: str = "table public.hotel"
) -> list[tuple[str, str]]:
    """Level and message of each that is of the table, or of what else is looked at."""
    section = {
        "type": "kafka",
        "bootstrap_servers": kafka.bootstrap_servers,
        "format": format_,
        "tables": {"hotel": {**HOTEL, "topic": topic}},
    }
    source = KafkaSource(KafkaConfig.model_validate(section), pipeline="checked")
    found = list(source.examine(source.describe([TableRequest("hotel")])))
    source.close()
    return [(one.level, one.message) for one in found if one.check == check]


def test_a_truncate_that_would_have_no_order_is_foretold(kafka: embedded.KafkaServer) -> None:
    """Of several partitions, where messages may be one at all."""
    name = f"checked-{uuid.uuid4().hex[:8]}"
    make_topics(kafka.bootstrap_servers, [f"{name}.one"])
    make_topics(kafka.bootstrap_servers, [f"{name}.two"], 2)
    [*_, (level, said)] = findings(kafka, f"{name}.two", "debezium")
    assert level == "ok", said
    assert "TRUNCATE becomes a dead letter" in said
    assert len(findings(kafka, f"{name}.two", "debezium")) == 2
    assert len(findings(kafka, f"{name}.one", "debezium")) == 1
    assert len(findings(kafka, f"{name}.two", "events")) == 1


def test_what_only_converges_is_said(kafka: embedded.KafkaServer) -> None:
    """Of one table as well: its rows may be joined with each other, and have partitions."""
    name = f"checked-{uuid.uuid4().hex[:8]}"
    make_topics(kafka.bootstrap_servers, [name], 2)
    [(level, said)] = findings(kafka, name, "debezium", "order")
    assert level == "ok"
    assert "what rows show together converges, and isn't what the database was" in said
