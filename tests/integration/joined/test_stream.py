"""Joined read models follow the stream: every document is what SQL says, after each burst."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg

from tests.generators.oracle import documents
from tests.integration.joined.conftest import HOTELS
from tests.integration.pipeline.conftest import stream_early

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon

STATE_ERROR = 6
"""The exit code."""
FIRST = (
    "insert into chain select i, 'chain ' || i from generate_series(1, 5) i",
    "insert into hotel select i, 'hotel ' || i, i % 6 from generate_series(1, 300) i",
    "insert into room select i, i % 310, 'kind ' || i % 3, i / 7.0 from generate_series(1, 2000) i",
    "insert into tag select i, 'tag ' || i from generate_series(1, 20) i",
    "insert into hotel_tag select i, i % 19 + 1 from generate_series(1, 300) i",
    "insert into hotel_tag select i, 20 from generate_series(1, 310) i",
)
CHANGES = (
    "update room set hotel_id = hotel_id + 1 where id % 7 = 0",
    "update hotel set chain_id = 2, name = 'moved ' || id where id % 5 = 0",
    "update chain set name = 'renamed' where id in (2, 3)",
    "delete from room where id % 11 = 0",
    "update hotel set id = id + 1000 where id % 10 = 0",
    "update tag set id = id + 100 where id < 5",
    "delete from hotel where id % 13 = 0",
    "truncate hotel_tag",
    "insert into hotel_tag select id, 7 from hotel where id % 2 = 0",
    "delete from chain where id = 3",
)


def test_documents_are_what_sql_says(store: Store, start_daemon: StartDaemon) -> None:
    """Rows that come, change, move, take other keys and go, in transactions of one and of many."""
    daemon = start_daemon(HOTELS)
    daemon.wait_until("streaming")
    for statement in FIRST:
        store.execute(statement)
    daemon.catch_up()
    assert store.assert_equal(daemon) == 300
    for statement in CHANGES:
        store.execute(statement)
    daemon.catch_up()
    assert store.assert_equal(daemon) > 200
    store.execute(*(f"update room set price = price + 1 where id % 5 = {n}" for n in range(5)))
    daemon.catch_up()
    assert store.assert_equal(daemon) > 200


def test_a_document_is_on_the_shard_that_its_routing_says(
    store: Store, start_daemon: StartDaemon
) -> None:
    """When the column changes it moves: it is never in two places, nor in none."""
    store.execute("alter table room alter hotel_id set not null")
    rooms = {
        "from": "room",
        "fields": ["id", "kind"],
        "routing": "hotel_id",
        "id": ["hotel_id", "id"],
        "index": {"settings": {"number_of_shards": 3}},
    }
    hotel = {"one": "hotel", "on": {"id": "hotel_id"}, "fields": ["name"]}
    alone = {**rooms, "id": ["id"], "embed": {"hotel": hotel}}
    daemon = start_daemon({"rooms": rooms, "alone": alone})
    daemon.wait_until("streaming")
    store.execute("insert into room select i, i % 7, 'kind' from generate_series(1, 200) i")
    daemon.catch_up()
    for step in (1, 2, 3):
        store.execute(f"update room set hotel_id = hotel_id + {step} where id % {step} = 0")
        store.execute(f"delete from room where id % 50 = {step}")
    daemon.catch_up()
    assert store.assert_equal(daemon) == 2 * 188
    for name in ("rooms", "alone"):
        assert store.opensearch.get(f"/{name}/_count")["count"] == 188
        found = store.opensearch.get(f"/{name}/_search?routing=4&q=kind:kind&size=500")
        assert found["hits"]["hits"], "some are on that shard"
    assert not daemon.status()["dead_letters"]


def test_no_part_of_a_transaction_that_is_open_is_shown(
    store: Store, start_daemon: StartDaemon, database: Database
) -> None:
    """However large it is, whatever of it is rolled back, and whoever commits meanwhile."""
    stream_early(database.dsn)
    daemon = start_daemon({**HOTELS, "plain": {"from": "hotel", "fields": ["id", "name"]}})
    daemon.wait_until("streaming")
    with psycopg.connect(store.dsn) as large:
        large.execute(b"insert into hotel select i, 'large ' || i from generate_series(1, 2000) i")
        large.execute(b"savepoint s")
        large.execute(b"insert into room select i, i, 'gone' from generate_series(1, 2000) i")
        large.execute(b"rollback to s")
        large.execute(b"insert into room select i, i, 'kept' from generate_series(1, 1000) i")
        store.execute("insert into chain values (1, 'meanwhile')")
        store.execute("insert into hotel values (5000, 'small', 1)")
        daemon.catch_up()
        assert store.assert_equal(daemon) == 2
    daemon.catch_up()
    assert store.assert_equal(daemon) == 2 * 2001


def test_a_document_that_can_not_be_written_is_a_dead_letter(
    store: Store, start_daemon: StartDaemon
) -> None:
    """Too large, or refused by the index; the others go on, and it comes right with its row."""
    hotels = {
        **HOTELS["hotels"],
        "max_document_bytes": "2kB",
        "fields": {"id": {}, "name": {"type": "integer"}, "notes": {}},
    }
    daemon = start_daemon({"hotels": hotels})
    daemon.wait_until("streaming")
    store.execute(
        "insert into hotel select i, i, 7 from generate_series(1, 4) i",
        "update hotel set notes = repeat('x', 3000) where id = 1",
        "update hotel set name = 'two' where id = 2",
        "insert into chain values (7, 'a chain')",
    )
    daemon.catch_up()
    assert daemon.status()["dead_letters"] == 2
    assert sorted(documents(store.opensearch, "hotels")) == ["3", "4"]
    store.execute("update hotel set notes = null, name = id")
    daemon.catch_up()
    assert sorted(documents(store.opensearch, "hotels")) == ["1", "2", "3", "4"]
    reasons = {event["reason"] for event in daemon.events("dead_letters")}
    assert reasons == {"document_too_large", "mapper_parsing_exception"}


def test_a_full_state_stops_and_goes_on_once_there_is_room(
    store: Store, start_daemon: StartDaemon
) -> None:
    """Nothing is lost, and nothing is loaded again."""
    state = {"path": "", "max_size": "1MB"}
    daemon = start_daemon(HOTELS, start=False)
    state["path"] = json.loads(daemon.file.read_text())["state"]["path"]
    daemon = start_daemon(HOTELS, state=state)
    daemon.wait_until("streaming")
    store.execute("insert into hotel select i, repeat('x', 500) from generate_series(1, 5000) i")
    assert daemon.wait(60) == STATE_ERROR
    assert "state.max_size" in daemon.said().splitlines()[-1]
    daemon = start_daemon(HOTELS, state={"path": state["path"]})
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert store.assert_equal(daemon) == 5000
    assert len(daemon.events("new_generation")) == 1
