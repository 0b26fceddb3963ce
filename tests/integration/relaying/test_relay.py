"""The relay as a process: what is committed in PostgreSQL is in Kafka, once and in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from connectors.relay.log import read_place

if TYPE_CHECKING:
    import psycopg

    from tests.integration.relaying.conftest import StartRelay

ROWS = 100_000
"""Of a kilobyte each: more than what may wait for the brokers."""
BOUND_BYTES = 160_000_000


def test_each_change_is_a_message_of_its_tables_topic(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """Inserts, updates, deletes and keys that change come as Debezium writes them."""
    relay = start_relay()
    relay.daemon.wait_until()
    hotels.execute("insert into hotel values (1, 'Astoria', 4, 120.50, repeat('x', 3000))")
    hotels.execute("update hotel set stars = 5 where id = 1")
    hotels.execute("update hotel set id = 2 where id = 1")
    hotels.execute("delete from hotel where id = 2")
    relay.daemon.catch_up()
    keys = [one.key for one in relay.records("public.hotel")]
    events = relay.events("public.hotel")
    assert keys == [b'{"id":1}'] * 4 + [b'{"id":2}'] * 3
    assert [event["op"] for event in events] == ["c", "u", "d", "c", "d"]
    assert events[0]["after"]["price"] == "LxI="
    assert events[1]["after"]["big"] == "__debezium_unavailable_value"


def test_tables_come_as_they_were_when_the_row_was_written(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """Columns are added, renamed, retyped and dropped while the daemon is away."""
    relay = start_relay()
    relay.daemon.wait_until()
    relay.daemon.catch_up()
    assert relay.daemon.terminate() == 0
    hotels.execute("insert into room values (1, 'a', 2)")
    hotels.execute("alter table room add column view text default 'sea'")
    hotels.execute("insert into room values (2, 'b', 3, 'lake')")
    hotels.execute("alter table room rename column view to outlook")
    hotels.execute("insert into room values (3, 'c', 4, 'wood')")
    hotels.execute("alter table room alter column beds type text using beds::text")
    hotels.execute("insert into room values (4, 'd', 'many', 'hill')")
    hotels.execute("alter table room drop column outlook")
    hotels.execute("insert into room values (5, 'e', 'few')")
    relay.daemon.start()
    relay.daemon.wait_until()
    relay.daemon.catch_up()
    assert [event["after"] for event in relay.events("public.room")] == [
        {"hotel": 1, "number": "a", "beds": 2},
        {"hotel": 2, "number": "b", "beds": 3, "view": "lake"},
        {"hotel": 3, "number": "c", "beds": 4, "outlook": "wood"},
        {"hotel": 4, "number": "d", "beds": "many", "outlook": "hill"},
        {"hotel": 5, "number": "e", "beds": "few"},
    ]


def test_a_large_transaction_is_relayed_in_bounded_memory(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """It is one Kafka transaction, and is written as it is read."""
    relay = start_relay(log=True)
    relay.daemon.wait_until()
    relay.daemon.catch_up()
    before = relay.daemon.anonymous_bytes()
    hotels.execute(
        "insert into hotel select i, repeat('x', 1000), 1 from generate_series(1, %s) i", [ROWS]
    )
    relay.daemon.catch_up(120)
    assert relay.daemon.anonymous_bytes() - before < BOUND_BYTES
    assert len(relay.records("public.hotel")) == ROWS
    ends = [orjson.loads(one.value or b"") for one in relay.records("transaction")]
    assert [one["event_count"] for one in ends if one["status"] == "END"] == [ROWS]
    parts = [read_place(one.value or b"")[1] for one in relay.records("log")]
    assert [one.kind for one in parts if one.xid] == ["part"] * (len(parts) - 3) + ["commit"]
