"""The source fails over: the relay and the readers of its log go on, or begin anew with it."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest

from cdc_daemon.client import Policy, ReadModels, Session, Token, commit
from tests.conftest import OF_THE_MACHINE
from tests.generators.daemons import daemons
from tests.generators.read_tables import TableSearch
from tests.generators.running_daemon import until
from tests.generators.standby import (
    PHYSICAL_SLOT,
    Pair,
    copy_slot,
    dsn_of_both,
    fail_over,
    private_pair,
    promote,
)
from tests.integration.relaying.conftest import CREATE, Relayed, StartRelay
from tests.integration.relaying.test_exactly_once import assert_log_is_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.generators.running_daemon import RunningDaemon

__all__ = ["private_pair"]

SLOT = "survives"
WAITS_FOR_STANDBYS = 17
ROWS = 200
SOME_BYTES = 50_000
NAMES = {"names": {"from": "public.hotel", "fields": ["id", "stars"]}}
CUT = "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s"


class Followed(NamedTuple):
    """A primary and its standby, a relay of the one that is there, and a reader of its log."""

    pair: Pair
    dsn: str
    relay: Relayed
    reader: RunningDaemon
    search: TableSearch

    def require_same(self) -> None:
        """The topic comes to what the one that is left has, and the read model shows it."""
        self.relay.daemon.wait_until()
        self.relay.daemon.catch_up()
        self.reader.wait_until()
        self.reader.catch_up()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            rows = connection.execute("select id, stars from hotel").fetchall()
        meant: dict[int, int] = dict(rows)
        relayed = {row["id"]: row["stars"] for row in self.relay.rows("public.hotel").values()}
        assert {number: relayed.get(number) for number in meant} == meant
        shown = (hit["_source"] for hit in self.search.hits("names"))
        assert {int(row["id"].text): int(row["stars"].text) for row in shown} == meant


@pytest.fixture
def followed(
    private_pair: Pair, database: Database, kafka: embedded.KafkaServer, tmp_path: Path
) -> Iterator[Followed]:
    """All is loaded, and the standby has a copy of the slot."""
    primary, standby = private_pair.primary, private_pair.standby
    if primary.version < WAITS_FOR_STANDBYS:
        pytest.skip(f"{OF_THE_MACHINE}PostgreSQL waits for standbys from 17 on")
    dsn = dsn_of_both(primary, standby)
    with psycopg.connect(primary.dsn, autocommit=True) as connection:
        connection.execute(CREATE)
        connection.execute(
            "insert into hotel select i, 'h', 0 from generate_series(1, %s) i", [ROWS]
        )
    cluster = {"type": "kafka", "bootstrap_servers": kafka.bootstrap_servers}
    tables = {"type": "postgres", "dsn": database.dsn}
    with (
        daemons(dsn, cluster, tmp_path) as make_relay,
        daemons(dsn, tables, tmp_path) as make_reader,
    ):
        start = StartRelay(make_relay, tmp_path.name, kafka)
        relay = start(log=True, source={"slot": SLOT, "failover": True}, folder="relay")
        relay.daemon.wait_until()
        source: dict[str, Any] = {**cluster, "type": "relay", "log": relay.log}
        reader = make_reader(NAMES, source=source, folder="reader")
        reader.wait_until()
        copy_slot(primary, standby, SLOT)
        yield Followed(private_pair, dsn, relay, reader, TableSearch(database.dsn))


@contextmanager
def writing(dsn: str) -> Iterator[None]:
    """Rows change and come all the time, on whichever server takes writes."""
    ended = threading.Event()

    def write() -> None:
        number = ROWS
        while not ended.is_set():
            with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as connection:
                while not ended.is_set():
                    number += 1
                    connection.execute("insert into hotel values (%s, 'n', 0)", [number])
                    again = "update hotel set stars = stars + 1 where id = %s"
                    connection.execute(again, [number % ROWS])
                    connection.execute("delete from hotel where id = %s", [number - 50])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)


def test_an_ordinary_failover_is_followed_under_load(followed: Followed) -> None:
    """In the same processes: each change is there once, the log is whole, and nothing is loaded."""
    pair, relay, reader = followed.pair, followed.relay, followed.reader
    with psycopg.connect(pair.primary.dsn, autocommit=True) as connection:
        connection.execute(f"alter system set synchronized_standby_slots = '{PHYSICAL_SLOT}'")
        connection.execute("select pg_reload_conf()")
    received = reader.position("received")
    with writing(followed.dsn):
        until(lambda: reader.position("received") > received + SOME_BYTES, 60, "it is under load")
        fail_over(pair.primary, pair.standby)
        until(lambda: relay.daemon.events("failover_followed"), 60, "the relay goes on")
        until(lambda: reader.events("failover_followed"), 60, "its reader goes on")
    followed.require_same()
    places = [
        event["source"]["lsn"] for event in relay.events("public.hotel") if event["op"] != "r"
    ]
    assert places == sorted({*places})
    assert_log_is_whole(relay)
    assert not relay.daemon.events("changes_lost")
    assert len(relay.daemon.events("starting")) == len(reader.events("starting")) == 1
    assert len(reader.events("generation_created")) == 1


def test_a_session_reads_its_own_writes_over_a_failover(followed: Followed) -> None:
    """Also what was committed just before, which the relay hadn't read."""
    pair, relay, reader = followed.pair, followed.relay.daemon, followed.reader
    patient = Policy(timeout_seconds=60)
    with ReadModels(reader.url) as models:

        def shown(session: Session) -> int:
            outcome = models.wait(projection="names", session=session, policy=patient)
            assert outcome.reached, outcome.why
            rows = (hit["_source"] for hit in followed.search.hits("names"))
            return next(int(row["stars"].text) for row in rows if row["id"].text == "1")

        session = Session([rated(pair.primary.dsn, 1)])
        assert shown(session) == 1
        relay.signal(signal.SIGSTOP)
        before = rated(pair.primary.dsn, 2)
        session.note(before)
        promote(pair.primary, pair.standby)
        relay.signal(signal.SIGCONT)
        assert shown(session) == 2
        assert session.tokens == (Token(f"{before.system}/{before.timeline + 1}", before.lsn),)
        assert not relay.events("changes_lost")


def rated(dsn: str, stars: int) -> Token:
    """Commit a change of one row."""
    with psycopg.connect(dsn) as connection:
        connection.execute("update hotel set stars = %s where id = 1", [stars])
        return commit(connection)


def test_a_failover_that_has_lost_what_was_relayed_begins_anew(followed: Followed) -> None:
    """All rows are relayed anew, and read models of the log show no commit that never happened."""
    pair, relay, reader = followed.pair, followed.relay, followed.reader
    pair.standby.pause()
    with psycopg.connect(pair.primary.dsn, autocommit=True) as connection:
        connection.execute(CUT, [PHYSICAL_SLOT])
        connection.execute("update hotel set stars = 9 where id <= 10")
        connection.execute("delete from hotel where id between 11 and 20")
        connection.execute("insert into hotel select -i, 'lost', 0 from generate_series(1, 10) i")
    relay.daemon.catch_up()
    reader.catch_up()
    pair.primary.kill()
    pair.standby.resume()
    fail_over(pair.primary, pair.standby)
    until(lambda: relay.daemon.events("changes_lost"), 60, "the relay says it")
    until(lambda: len(reader.events("generation_created")) > 1, 60, "its reader loads anew")
    followed.require_same()
    assert "by a failover" in relay.daemon.events("changes_lost")[0]["why"]
    assert len(reader.events("generation_created")) == 2
