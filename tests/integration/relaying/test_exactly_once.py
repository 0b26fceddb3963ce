"""Each change is there once for who reads what is committed, whatever is killed, frozen or cut."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson
import psycopg

from connectors.relay.log import read_place
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.integration.relaying.conftest import Relayed, StartRelay

SENDER_TIMEOUT = "?options=-c%20wal_sender_timeout%3D2s"
"""Whoever is frozen lets go of the slot soon."""
ENOUGH = 60
"""Transactions between two blows."""


class Writer(threading.Thread):
    """One transaction after the other: a row comes, others change and go."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn
        self.ended = threading.Event()
        self.written = 0

    def run(self) -> None:
        """Write until told to end."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self.ended.wait(0.002):
                number = self.written + 1
                with connection.transaction():
                    connection.execute("insert into hotel values (%s, 'new', 1)", [number])
                    connection.execute("insert into room values (%s, 'a', 1)", [number])
                    connection.execute(
                        "update hotel set stars = stars + 1 where id %% 7 = %s and id > %s",
                        [number % 7, number - 50],
                    )
                    connection.execute("delete from room where hotel = %s", [number - 20])
                self.written = number


@contextmanager
def writing(dsn: str) -> Iterator[Writer]:
    """Somebody writes while this lasts."""
    writer = Writer(dsn)
    writer.start()
    try:
        yield writer
    finally:
        writer.ended.set()
        writer.join()


def more(writer: Writer) -> None:
    """Some more is written."""
    goal = writer.written + ENOUGH
    until(lambda: writer.written >= goal, 20, "more is written")


def assert_once(relay: Relayed, connection: psycopg.Connection, written: int) -> None:
    """Every row came once, each change after the one before, and all of it is as in the source."""
    for table, key in (("hotel", "id"), ("room", "hotel")):
        events = relay.events(f"public.{table}")
        places = [event["source"]["lsn"] for event in events]
        assert places == sorted({*places}), f"{table}: a change came twice, or out of order"
        created = [event["after"][key] for event in events if event["op"] == "c"]
        assert created == list(range(1, written + 1))
    found = {row["id"]: row["stars"] for row in relay.rows("public.hotel").values()}
    assert found == dict(connection.execute("select id, stars from hotel").fetchall())
    rooms = sorted(row["hotel"] for row in relay.rows("public.room").values())
    assert rooms == [row[0] for row in connection.execute("select hotel from room order by 1")]


def assert_log_is_whole(relay: Relayed) -> None:
    """Each message of the log goes on where the one before has ended."""
    places = [read_place(one.value or b"")[1] for one in relay.records("log")]
    assert [place.after for place in places[1:]] == [place.position for place in places[:-1]]
    assert [place.position for place in places] == sorted(place.position for place in places)
    ends = [orjson.loads(one.value or b"") for one in relay.records("transaction")]
    commits = [place.xid for place in places if place.kind == "commit"]
    ended = [int(one["id"].partition(":")[0]) for one in ends if one["status"] == "END"]
    assert commits == ended


def test_nothing_comes_twice_when_daemon_and_brokers_are_killed(
    start_relay: StartRelay,
    hotels: psycopg.Connection,
    database: Database,
    kafka: embedded.KafkaServer,
) -> None:
    """The daemon is killed again and again, and the broker once, while changes go on."""
    relay = start_relay(log=True)
    daemon = relay.daemon
    daemon.wait_until()
    with writing(database.dsn) as writer:
        for _ in range(2):
            more(writer)
            daemon.kill()
            more(writer)
            daemon.start()
            daemon.wait_until()
        more(writer)
        kafka.kill()
        more(writer)
        kafka.start()
        more(writer)
    daemon.catch_up()
    assert_once(relay, hotels, writer.written)
    assert_log_is_whole(relay)
    assert daemon.terminate() == 0


def test_who_was_frozen_writes_nothing_after_another_took_over(
    start_relay: StartRelay, hotels: psycopg.Connection, database: Database
) -> None:
    """A daemon wakes up with changes in its hands, and Kafka refuses them."""
    source = {"dsn": database.dsn + SENDER_TIMEOUT}
    first = start_relay(folder="first", standby=True, source=source)
    first.daemon.wait_until()
    second = start_relay(folder="second", standby=True, source=source)
    second.daemon.wait_until("standby")
    with writing(database.dsn) as writer:
        more(writer)
        first.daemon.signal(signal.SIGSTOP)
        second.daemon.wait_until()
        more(writer)
        first.daemon.signal(signal.SIGCONT)
        first.daemon.wait_until("standby")
        more(writer)
    second.daemon.catch_up()
    assert_once(second, hotels, writer.written)
