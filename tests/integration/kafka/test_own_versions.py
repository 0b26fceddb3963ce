"""Messages of another database's connector: which is newer is said by their offsets alone."""

from __future__ import annotations

import json
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.generators.debezium_topics import DebeziumTopics
from tests.generators.running_daemon import until
from tests.integration.kafka.conftest import shop_on
from tests.integration.kafka.test_debezium import COLUMNS, row, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.integration.kafka.conftest import Shop

PARTITIONS = 2
SOME = 40


@contextmanager
def numbered_by_offsets(
    topics: DebeziumTopics,
    kafka: embedded.KafkaServer,
    opensearch: embedded.OpenSearchServer,
    folder: Path,
    **source: Any,
) -> Iterator[Shop]:
    """A read model of one table."""
    table = {"topic": topics.topic, "key": ["id"], "columns": COLUMNS, "version": "arrival"}
    source = {"format": "debezium", "tables": {"item": table}, **source}
    with shop_on(kafka, opensearch, folder, **source) as shop:
        flat = {"from": "item", "fields": "*", "freshness": "200ms"}
        shop.change(projections={f"items_{shop.name}": flat})
        shop.daemon.start()
        shop.daemon.wait_until("streaming")
        yield shop


def in_partition(number: int) -> str:
    """An id whose row librdkafka's producers put there."""
    ids = (f"{one}" for one in range(100))
    return next(
        one for one in ids if zlib.crc32(json.dumps({"id": one}).encode()) % PARTITIONS == number
    )


def test_a_row_that_shares_a_transaction_with_higher_offsets_goes_on(
    kafka: embedded.KafkaServer, opensearch: embedded.OpenSearchServer, tmp_path: Path
) -> None:
    """What comes next of it has a lower number than the other partition had, and is shown."""
    topics = DebeziumTopics(kafka.bootstrap_servers, partitions=PARTITIONS)
    here, there = in_partition(0), in_partition(1)
    with numbered_by_offsets(
        topics, kafka, opensearch, tmp_path, transactions=topics.transactions
    ) as shop:
        topics.commit(("c", None, row(there, "new")))
        for number in range(SOME):
            topics.commit(("u", None, row(there, "changed", number)))
        topics.commit(("c", None, row(here, "together")), ("u", None, row(there, "together")))
        topics.commit(("u", None, row(here, "alone")))
        topics.commit(("u", None, row(there, "last")))
        expected = {here: row(here, "alone"), there: row(there, "last")}
        until(lambda: shown(shop, "items").get(there) == expected[there], 60, "all is shown")
        assert shown(shop, "items") == expected


def test_a_truncate_takes_the_message_just_before_it(
    kafka: embedded.KafkaServer, opensearch: embedded.OpenSearchServer, tmp_path: Path
) -> None:
    """Between two offsets is no room, and what comes after it stays."""
    topics = DebeziumTopics(kafka.bootstrap_servers, partitions=1)
    with numbered_by_offsets(topics, kafka, opensearch, tmp_path) as shop:
        topics.commit(
            ("c", None, row("before", "x")),
            ("c", None, row("just before", "x")),
            ("t", None, None),
            ("c", None, row("just after", "x")),
        )
        until(lambda: "just after" in shown(shop, "items"), 60, "all is shown")
        assert shown(shop, "items") == {"just after": row("just after", "x")}
