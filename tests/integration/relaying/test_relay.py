"""The relay as a process: what is committed in PostgreSQL is in Kafka, once and in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

    from tests.integration.relaying.conftest import StartRelay


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
