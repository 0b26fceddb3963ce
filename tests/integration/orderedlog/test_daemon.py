"""Read models that are fed by the ordered log of a relay, while every part of it breaks."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from tests.generators.log_writer import make_log

if TYPE_CHECKING:
    import psycopg

    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.orderedlog.conftest import Relays

MEANT = """
select id::text, jsonb_build_object('id', id, 'name', name, 'rooms', coalesce((select
jsonb_agg(jsonb_build_object('id', r.id, 'price', r.price) order by r.id) from room r
where r.hotel_id = h.id), '[]')), big from hotel h
"""


def require_same(rest: Rest, connection: psycopg.Connection[Any]) -> None:
    """Every document shows its row, and its rooms."""
    rest.post("/hotels,names/_refresh")
    meant = connection.execute(MEANT).fetchall()
    hotels = {key: row for key, row, _ in meant}
    names = {key: {"id": row["id"], "name": row["name"], "big": big} for key, row, big in meant}
    assert shown(rest, "hotels") == hotels
    assert shown(rest, "names") == names


def shown(rest: Rest, index: str) -> dict[str, Any]:
    """What is searched."""
    found = rest.post(f"/{index}/_search", {"size": 10_000})["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in found}


def write(connection: psycopg.Connection[Any], number: int) -> None:
    """Something of everything."""
    with connection.transaction():
        connection.execute("update hotel set name = name || '!' where mod(id, 10) = %s", [number])
        connection.execute("insert into hotel values (%s, 'new')", [1000 + number])
        connection.execute("delete from hotel where id = %s", [number + 20])
        connection.execute("update room set hotel_id = %s where id = %s", [1000 + number, number])
        connection.execute("update room set id = id + 5000 where id = %s", [number + 50])


def test_it_follows_whatever_breaks(
    relays: Relays, connection: psycopg.Connection[Any], rest: Rest
) -> None:
    """The reader, the relay and Kafka are killed; of two relays one is fenced."""
    relay = relays.relay()
    relay.wait_until()
    reader = relays.reader()
    reader.wait_until()
    kill_one_after_the_other(relays, relay, reader, connection)
    reader.catch_up()
    require_same(rest, connection)
    relay.signal(signal.SIGSTOP)
    connection.execute("select pg_terminate_backend(active_pid) from pg_replication_slots")
    relays.relay("second").wait_until()
    write(connection, 5)
    reader.catch_up()
    relay.signal(signal.SIGCONT)
    write(connection, 6)
    assert relay.wait(60) == 5
    reader.catch_up()
    require_same(rest, connection)
    assert not reader.status()["dead_letters"]
    assert not reader.events("starting_again")
    assert len(reader.events("generation_created")) == 2


def test_an_empty_log_is_waited_for(
    relays: Relays, connection: psycopg.Connection[Any], rest: Rest
) -> None:
    """Whichever is started first: the relay that is to write it, or what follows it."""
    make_log(relays.kafka.bootstrap_servers, relays.log)
    reader = relays.reader()
    reader.wait_until("waiting")
    status, reason = reader.health("readyz")
    assert status == 503
    assert f"topic {relays.log} is empty: the relay has written nothing yet" in reason
    relays.relay().wait_until()
    reader.wait_until()
    write(connection, 1)
    reader.catch_up()
    require_same(rest, connection)


def kill_one_after_the_other(
    relays: Relays,
    relay: RunningDaemon,
    reader: RunningDaemon,
    connection: psycopg.Connection[Any],
) -> None:
    """While something is written each time."""
    write(connection, 1)
    reader.kill()
    write(connection, 2)
    reader.start()
    relay.kill()
    write(connection, 3)
    relay.start()
    reader.wait_until()
    relay.wait_until()
    relays.kafka.kill()
    write(connection, 4)
    relays.kafka.start()
