"""Flattened rows beside a topic of transactions: of no transaction, so none waits for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.generators.running_daemon import until
from tests.generators.topics import make_topics
from tests.integration.kafka.conftest import HOTEL, ROOM, shop_on

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon import embedded

SOON_SECONDS = 15.0
"""Less than a transaction of which something lacks is waited for."""


def test_a_transaction_does_not_wait_for_flattened_rows(
    kafka: embedded.KafkaServer, opensearch: embedded.OpenSearchServer, tmp_path: Path
) -> None:
    """Its END counts them; each is shown by itself, and nothing is incomplete."""
    name = tmp_path.name.replace("_", "-")
    told = f"{name}.transaction"
    tables = {
        "hotel": {**HOTEL, "topic": f"{name}.hotel", "format": "flattened"},
        "room": {**ROOM, "topic": f"{name}.room", "version": "arrival"},
    }
    make_topics(kafka.bootstrap_servers, [told], 1)
    with shop_on(
        kafka, opensearch, tmp_path, name=name, format="debezium", tables=tables, transactions=told
    ) as shop:
        shop.daemon.start()
        shop.daemon.wait_until()
        began = time.monotonic()
        shop.write("hotel", {"id": 1}, {"id": 1, "name": "Ritz"})
        shop.write("room", {"id": 7}, room(7, transaction="9:1"))
        counted = [
            {"data_collection": "public.hotel", "event_count": 1},
            {"data_collection": "public.room", "event_count": 1},
        ]
        shop.write("transaction", None, {"status": "END", "id": "9:2", "data_collections": counted})
        shop.flush()
        shown = [{"id": 7, "beds": 2}]
        until(lambda: shop.documents("cards").get("1", {}).get("rooms") == shown, 60, "it is shown")
        assert time.monotonic() - began < SOON_SECONDS
        assert shop.daemon.total("cdc_incomplete_transactions_total") == 0


def room(id_: int, *, transaction: str) -> dict[str, Any]:
    """As Debezium writes that it was inserted."""
    return {
        "op": "c",
        "after": {"id": id_, "hotel_id": 1, "beds": 2},
        "source": {"schema": "public", "table": "room", "lsn": 1, "ts_ms": 1_700_000_000_000},
        "transaction": {"id": transaction, "total_order": 2},
    }
