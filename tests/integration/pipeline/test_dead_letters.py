"""What can't be written becomes one dead letter; neighbours and later versions go on (P4)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.oracle import assert_equal, documents
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

VISITS: dict[str, Any] = {
    "visits": {
        "from": "visit",
        "fields": {"id": None, "address": {"type": "ip"}},
        "freshness": "50ms",
    }
}
RATIOS: dict[str, Any] = {
    "ratios": {
        "from": "visit",
        "fields": {"id": None, "ratio": {"expression": "hits / days"}},
        "freshness": "50ms",
    }
}
ALL_VISITS = {
    "visits": "select id::text, jsonb_build_object('id', id, 'address', address) from visit"
}
ALL_RATIOS = {
    "ratios": "select id::text, jsonb_build_object('id', id, 'ratio', hits / days) from visit"
}


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database with one table and one good row."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute("create table visit (id int primary key, address text, hits int, days int)")
        opened.execute("insert into visit values (1, '10.0.0.1', 10, 5)")
        yield opened


def letters(rest: Rest, daemon: RunningDaemon) -> list[dict[str, Any]]:
    """The dead letters of this pipeline."""
    rest.post("/cdc-daemon-deadletters/_refresh")
    pipeline = daemon.status()["pipeline"]
    query = {"query": {"term": {"pipeline": pipeline}}, "sort": ["position", "id"]}
    found = rest.post("/cdc-daemon-deadletters/_search", query)
    return [hit["_source"] for hit in found["hits"]["hits"]]


def commit_with_neighbours(connection: psycopg.Connection, *poison: Any) -> int:
    """A transaction with a poison row between good ones; a position below its commit's end."""
    with connection.transaction():
        connection.execute("insert into visit values (2, '10.0.0.2', 4, 2)")
        connection.execute("insert into visit values (3, %s, %s, %s)", poison)
        connection.execute("insert into visit values (4, '10.0.0.4', 8, 2)")
        row = connection.execute("select pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row is not None
    return int(row[0])


def test_value_that_the_index_rejects(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """A text that is no address is kept with row, document and reason; a good one comes through."""
    daemon = start_daemon(VISITS)
    daemon.wait_until("streaming")
    before = commit_with_neighbours(connection, "nowhere", 1, 1)
    daemon.catch_up()
    assert set(documents(rest, "visits")) == {"1", "2", "4"}
    (letter,) = letters(rest, daemon)
    assert letter["projection"] == "visits"
    assert letter["table"] == "public.visit"
    assert letter["id"] == "3"
    assert before < letter["position"] < before + 1000
    assert letter["reason"] == "mapper_parsing_exception"
    assert "address" in letter["explanation"]
    assert json.loads(letter["document"]) == {"id": 3, "address": "nowhere"}
    assert json.loads(letter["row"]) == {"id": "3", "address": '"nowhere"'}
    counted = 'cdc_dead_letters_total{projection="visits",reason="mapper_parsing_exception"}'
    assert daemon.metrics()[counted] == 1
    assert daemon.metrics()["cdc_dead_letters_stored"] == 1
    assert daemon.status()["dead_letters"] == 1
    connection.execute("update visit set address = '10.0.0.3' where id = 3")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, ALL_VISITS) == 4
    assert len(letters(rest, daemon)) == 1


def test_expression_that_fails(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """A division by zero is kept with the row and its reason; a later version comes through."""
    daemon = start_daemon(RATIOS)
    daemon.wait_until("streaming")
    before = commit_with_neighbours(connection, None, 7, 0)
    daemon.catch_up()
    assert set(documents(rest, "ratios")) == {"1", "2", "4"}
    (letter,) = letters(rest, daemon)
    assert letter["id"] == "3"
    assert before < letter["position"] < before + 1000
    assert "zero" in letter["explanation"]
    assert letter["document"] is None
    assert json.loads(letter["row"]) == {"id": "3", "hits": "7", "days": "0"}
    assert daemon.total("cdc_dead_letters_total") == 1
    connection.execute("update visit set days = 7 where id = 3")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, ALL_RATIOS) == 4


def test_poison_in_the_first_load(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Existing rows that can't be written are dead letters of the load, which goes on."""
    connection.execute("insert into visit select i, 'no', i, i % 2 from generate_series(2, 401) i")
    daemon = start_daemon({**VISITS, **RATIOS})
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert set(documents(rest, "visits")) == {"1"}
    expected = {"ratios": ALL_RATIOS["ratios"] + " where days <> 0"}
    assert assert_equal(database.dsn, rest, expected) == 201
    metrics = daemon.metrics()
    stored = {k: v for k, v in metrics.items() if k.startswith("cdc_dead_letters_total")}
    assert sorted(stored.values()) == [200, 400]
    assert metrics["cdc_dead_letters_stored"] == 600


def test_replay_keeps_one_letter(
    connection: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """A dead letter that is found again after a crash is the same one."""
    daemon = start_daemon({**VISITS, **RATIOS})
    daemon.wait_until("streaming")
    daemon.catch_up()
    # One read model takes no writes, so the transaction stays open while the letter is stored.
    index = daemon.status()["indices"]["ratios"]
    rest.put(f"/{index}/_settings", {"index.blocks.write": True})
    commit_with_neighbours(connection, "nowhere", 1, 1)
    until(lambda: daemon.status()["dead_letters"], 10, "the dead letter is stored")
    daemon.kill()
    daemon.start()
    daemon.wait_until("streaming")
    rest.put(f"/{index}/_settings", {"index.blocks.write": False})
    daemon.catch_up()
    assert daemon.total("cdc_dead_letters_total") == 1, "it was found again"
    assert len(letters(rest, daemon)) == 1
    assert set(documents(rest, "visits")) == {"1", "2", "4"}
