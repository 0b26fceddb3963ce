"""Topics as Debezium writes them, of one table with a text key and a text."""

from __future__ import annotations

import json
import time
import uuid
from itertools import count
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from tests.generators.topics import make_topics

if TYPE_CHECKING:
    from collections.abc import Iterable

SECONDS = 60.0


class DebeziumTopics:
    """A connector that somebody runs: each transaction of the database is one of Kafka's."""

    def __init__(self, bootstrap_servers: str, *, partitions: int = 2) -> None:
        prefix = f"c{uuid.uuid4().hex}"
        self.bootstrap_servers = bootstrap_servers
        self.topic = f"{prefix}.public.item"
        self.transactions = f"{prefix}.transaction"
        make_topics(bootstrap_servers, [self.topic], partitions)
        make_topics(bootstrap_servers, [self.transactions])
        self._lsns = count(1_000_000, 8)
        self._producer = Producer(
            {"bootstrap.servers": bootstrap_servers, "transactional.id": prefix, "linger.ms": 0}
        )
        self._producer.init_transactions(SECONDS)

    def commit(self, *events: tuple[str, Any, Any]) -> None:
        """One transaction: events as (op, before, after)."""
        self._produce(events)
        self._producer.commit_transaction(SECONDS)

    def roll_back(self, *events: tuple[str, Any, Any]) -> None:
        """A connector that dies in the middle: Kafka has it, and nobody is to see it."""
        self._produce(events)
        self._producer.flush(SECONDS)
        self._producer.abort_transaction(SECONDS)

    def _produce(self, events: Iterable[tuple[str, Any, Any]]) -> None:
        first = next(self._lsns)
        number, some = str(first // 8), list(events)
        self._producer.begin_transaction()
        self._say(f"{number}:{first}", {"status": "BEGIN", "event_count": None})
        for order, (operation, before, after) in enumerate(some, 1):
            self._event(operation, before, after, f"{number}:{first}", order)
        table = {"data_collection": "public.item", "event_count": len(some)}
        end = {"status": "END", "event_count": len(some), "data_collections": [table]}
        self._say(f"{number}:{next(self._lsns)}", end)

    def _event(self, operation: str, before: Any, after: Any, transaction: str, order: int) -> None:
        lsn, now = next(self._lsns), time.time_ns()
        row = after or before
        key = None if row is None else {"id": row["id"]}
        value = {
            "before": before,
            "after": after,
            "source": {
                "connector": "postgresql",
                "ts_ms": now // 1_000_000,
                "ts_us": now // 1000,
                "snapshot": "false",
                "schema": "public",
                "table": "item",
                "lsn": lsn,
                "sequence": json.dumps([str(lsn - 8), str(lsn)]),
            },
            "transaction": {
                "id": transaction,
                "total_order": order,
                "data_collection_order": order,
            },
            "op": operation,
        }
        self._send(self.topic, key, value)
        if operation == "d":
            self._send(self.topic, key, None)

    def _say(self, transaction: str, said: dict[str, Any]) -> None:
        self._send(self.transactions, {"id": transaction}, {**said, "id": transaction})

    def _send(self, topic: str, key: Any, value: Any) -> None:
        self._producer.produce(
            topic,
            value=None if value is None else json.dumps(value).encode(),
            key=None if key is None else json.dumps(key).encode(),
        )
