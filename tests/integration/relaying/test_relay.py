"""The relay as a process: what is committed in PostgreSQL is in Kafka, once and in its order."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson
import psycopg

from connectors.relay.log import read_place
from tests.generators.running_daemon import until
from tests.generators.topics import end_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.integration.relaying.conftest import Relayed, StartRelay

ROWS = 100_000
"""Of a kilobyte each: more than what may wait for the brokers."""
BOUND_BYTES = 160_000_000
EXISTING = 5_000
SOME = 1_000
PARTS = 113
"""Of 900 kB each, but for the last one."""


@contextmanager
def writing_over(dsn: str, rows: int) -> Iterator[None]:
    """Somebody changes and deletes rows here and there while this lasts."""
    ended = threading.Event()

    def write() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            number = 0
            while not ended.wait(0.005):
                number = (number + 37) % rows
                connection.execute("update hotel set stars = stars + 1 where id = %s", [number])
                connection.execute("delete from hotel where id = %s", [(number * 7) % rows])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def test_existing_rows_come_before_what_changes_them(
    start_relay: StartRelay, hotels: psycopg.Connection, database: Database
) -> None:
    """Rows are read in chunks while they change, and the daemon is killed in between."""
    hotels.execute(
        "insert into hotel select i, 'old', 0, 1, repeat('x', 500) from generate_series(1, %s) i",
        [EXISTING],
    )
    hotels.execute("insert into room values (1, 'a', 1)")
    relay = start_relay(backfill={"chunk": "50kB", "rows_per_second": EXISTING // 3})
    with writing_over(database.dsn, EXISTING):
        until(lambda: relay.written_so_far("public.hotel") > SOME, 60, "some rows are read")
        assert relay.daemon.status()["loading"]["public.hotel"] < EXISTING
        relay.daemon.kill()
        relay.daemon.start()
        relay.daemon.wait_until()
    relay.daemon.catch_up()
    assert_in_order(relay)
    found = {row["id"]: row["stars"] for row in relay.rows("public.hotel").values()}
    assert found == dict(hotels.execute("select id, stars from hotel").fetchall())
    assert [event["op"] for event in relay.events("public.room")] == ["r"]


def assert_in_order(relay: Relayed) -> None:
    """Of no row comes something older after something newer, nor is one read twice in a row."""
    before: dict[int, tuple[int, str]] = {}
    for event in relay.events("public.hotel"):
        row = event["after"] or event["before"]
        lsn, op = before.get(row["id"], (0, ""))
        assert event["source"]["lsn"] >= lsn
        # A row is read again only where an update has moved it to what is still to be read.
        assert (op, event["op"]) != ("r", "r")
        before[row["id"]] = event["source"]["lsn"], event["op"]


def test_existing_rows_are_relayed_while_brokers_are_killed(
    start_relay: StartRelay,
    hotels: psycopg.Connection,
    database: Database,
    kafka: embedded.KafkaServer,
) -> None:
    """With a backlog of changes behind each outage; every row is there at the end, as it is."""
    hotels.execute(
        "insert into hotel select i, 'old', 0, 1, repeat('x', 500) from generate_series(1, %s) i",
        [EXISTING],
    )
    relay = start_relay(backfill={"chunk": "50kB", "rows_per_second": EXISTING // 5})
    with writing_over(database.dsn, EXISTING):
        for rows in (SOME, 2 * SOME):
            until(lambda: relay.written_so_far("public.hotel") > rows, 60, "some rows are read")  # noqa: B023 - at once
            kafka.kill()
            hotels.execute("update hotel set stars = stars + 1 where id % 10 = 0")
            kafka.start()
    relay.daemon.wait_until()
    relay.daemon.catch_up()
    assert_in_order(relay)
    found = {row["id"]: row["stars"] for row in relay.rows("public.hotel").values()}
    assert found == dict(hotels.execute("select id, stars from hotel").fetchall())


def command(name: str, relay: Relayed) -> str:
    """What a command says of a relay."""
    line = [sys.executable, "-m", "cdc_daemon", name, str(relay.daemon.file)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_each_change_is_a_message_of_its_tables_topic(
    start_relay: StartRelay, hotels: psycopg.Connection, kafka: embedded.KafkaServer
) -> None:
    """Inserts, updates, deletes and keys that change come as Debezium writes them."""
    relay = start_relay({"heartbeat": "500ms"}, start=False)
    assert "0 problems" in command("check", relay)
    relay.daemon.start()
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
    assert "public.hotel, public.room" in command("status", relay)
    assert f"{relay.prefix}.public.hotel: It has one replica" in command("check", relay)
    alive = f"__debezium-heartbeat.{relay.prefix}"
    until(lambda: end_of(kafka.bootstrap_servers, alive) > 4, 20, "signs of life")


def test_a_row_that_is_too_large_is_not_left_out(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """The daemon stops, and says what to raise."""
    relay = start_relay({"topic_settings": {"max.message.bytes": 20_000}})
    relay.daemon.wait_until()
    hotels.execute(
        "insert into hotel select 1, string_agg(md5(i::text), '') from generate_series(1, 2000) i"
    )
    assert relay.daemon.wait(60) == 4
    assert "max.message.bytes" in relay.daemon.tail()


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


def test_keys_are_those_of_the_time_when_the_row_was_written(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """Another primary key while the daemon runs: deletes come under the key of their row."""
    relay = start_relay()
    relay.daemon.wait_until()
    hotels.execute("insert into room values (1, 'a', 2)")
    hotels.execute("alter table room drop constraint room_pkey, add primary key (beds, number)")
    hotels.execute("insert into room values (2, 'b', 3)")
    hotels.execute("delete from room")
    relay.daemon.catch_up()
    assert [one.key for one in relay.records("public.room") if one.value is not None] == [
        b'{"hotel":1,"number":"a"}',
        b'{"beds":3,"number":"b"}',
        b'{"beds":2,"number":"a"}',
        b'{"beds":3,"number":"b"}',
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
    kinds = [read_place(one.value or b"")[1].kind for one in relay.records("log")]
    assert [kind for kind in kinds if kind != "watermark"] == ["part"] * PARTS + ["commit"]
