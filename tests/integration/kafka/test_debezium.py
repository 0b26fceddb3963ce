"""Debezium's topics through the daemon: values that updates leave out, and whole transactions."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.generators.debezium_topics import DebeziumTopics
from tests.generators.running_daemon import until
from tests.integration.kafka.conftest import Shop, shop_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded

LEFT_OUT = "__debezium_unavailable_value"
COLUMNS = {"id": "text", "note": "text", "n": "int"}


@pytest.fixture
def topics(kafka: embedded.KafkaServer) -> DebeziumTopics:
    """Those of one table."""
    return DebeziumTopics(kafka.bootstrap_servers)


@pytest.fixture
def items(
    topics: DebeziumTopics,
    kafka: embedded.KafkaServer,
    opensearch: embedded.OpenSearchServer,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Shop]:
    """A read model of one table, and one in which each item shows those of the same `n`.

    The parameter is which version messages have.
    """
    version = getattr(request, "param", None)
    table = {"topic": topics.topic, "key": ["id"], "columns": COLUMNS, "version": version}
    source: dict[str, Any] = {
        "format": "debezium",
        "transactions": topics.transactions,
        "tables": {"item": table},
    }
    with shop_on(kafka, opensearch, tmp_path, **source) as shop:
        embed = {"same": {"many": "item", "on": {"n": "n"}, "fields": ["id", "note"]}}
        projections = {
            f"items_{shop.name}": {"from": "item", "fields": "*", "freshness": "200ms"},
            f"groups_{shop.name}": {
                "from": "item",
                "fields": ["id", "note"],
                "embed": embed,
                "freshness": "200ms",
            },
        }
        shop.change(projections=projections)
        yield shop


def row(id_: str, note: str, n: int | None = None) -> dict[str, Any]:
    """One row."""
    return {"id": id_, "note": note, "n": n}


def test_a_value_that_an_update_leaves_out_is_never_a_placeholder(
    items: Shop, topics: DebeziumTopics
) -> None:
    """A joined read model has it; one of a single table says that its document is as it was.

    So does a joined one of a row of which no message that is still there brings the value.
    """
    topics.commit(("c", None, row("a", "large", 1)), ("c", None, row("b", "other", 2)))
    topics.commit(("u", None, row("never came", LEFT_OUT, 3)), ("c", None, row("c", "near", 3)))
    items.daemon.start()
    until(lambda: "b" in shown(items, "items"), 60, "the read model is searched")
    topics.commit(("u", None, row("a", LEFT_OUT, 2)))
    topics.commit(("c", None, row("last", "z", 9)))

    def letters(alias: str) -> str:
        labels = f'projection="{alias}_{items.name}",reason="value_left_out"'
        return f"cdc_dead_letters_total{{{labels}}}"

    until(lambda: "last" in shown(items, "items"), 60, "all is shown")
    until(lambda: "last" in shown(items, "groups"), 60, "all is shown")
    assert items.documents("items")["a"] == row("a", "large", 1)
    same = items.documents("groups")["b"]["same"]
    assert same == [{"id": "a", "note": "large"}, {"id": "b", "note": "other"}]
    assert LEFT_OUT not in str([items.documents(alias) for alias in ("items", "groups")])
    assert items.daemon.total("cdc_dead_letters_total") >= 2
    assert items.daemon.metrics()[letters("groups")] == 2, "its own document, and the one of c"
    topics.commit(("u", None, row("never came", "here", 3)), ("c", None, row("end", "z", 9)))
    until(lambda: "end" in shown(items, "groups"), 60, "all is shown")
    same = items.documents("groups")["c"]["same"]
    assert same == [{"id": "c", "note": "near"}, {"id": "never came", "note": "here"}]


@pytest.mark.parametrize("items", [None, "arrival"], indirect=True)
def test_what_is_shown_in_the_end_is_what_the_transactions_did(
    items: Shop, topics: DebeziumTopics
) -> None:
    """Over a kill of the daemon, in a read model of one table and in a joined one."""
    chance, table = random.Random(7), {}  # type: random.Random, dict[str, dict[str, Any]]
    items.daemon.start()
    items.daemon.wait_until("streaming")
    for _ in range(60):
        topics.commit(*some_changes(chance, table))
    items.daemon.kill()
    for _ in range(20):
        topics.commit(*some_changes(chance, table))
    items.daemon.start()
    until(lambda: shown(items, "items") == table, 60, "every row is shown")
    groups = {
        id_: sorted(other["id"] for other in table.values() if other["n"] == one["n"])
        for id_, one in table.items()
    }
    until(
        lambda: (
            {
                id_: [each["id"] for each in one["same"]]
                for id_, one in shown(items, "groups").items()
            }
            == groups
        ),
        60,
        "joined read models are as well",
    )


def some_changes(
    chance: random.Random, table: dict[str, dict[str, Any]]
) -> list[tuple[str, Any, Any]]:
    """A transaction of a few changes, done to `table` as well."""
    events: list[tuple[str, Any, Any]] = []
    for _ in range(chance.randint(1, 4)):
        id_ = str(chance.randint(0, 15))
        if id_ in table and chance.random() < 0.3:
            del table[id_]
            events.append(("d", row(id_, ""), None))
        else:
            new = row(id_, str(chance.random()), chance.randint(0, 3))
            events.append(("u" if id_ in table else "c", None, new))
            table[id_] = new
    return events


def shown(items: Shop, alias: str) -> dict[str, dict[str, Any]]:
    """What searches show; nothing before there is an index."""
    try:
        return items.documents(alias)
    except Exception:  # noqa: BLE001 - it is asked again
        return {}
