"""A promoted standby is followed where it lacks nothing that was written, and else loaded anew."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest

from tests.conftest import OF_THE_MACHINE
from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until
from tests.generators.standby import (
    PHYSICAL_SLOT,
    copy_slot,
    dsn_of_both,
    fail_over,
    promote,
    standby_of,
    storing_often,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded
    from tests.conftest import StartPostgres
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = 2000
SLOT = "survives"
ITEMS: dict[str, Any] = {"items": {"from": "item", "fields": {"id": None, "n": None}}}
EXPECTED = {"items": "select id::text, jsonb_build_object('id', id, 'n', n) from item"}


class Pair(NamedTuple):
    """A primary, its standby, which has a copy of the slot, and a daemon that has loaded all."""

    primary: embedded.PostgresServer
    standby: embedded.PostgresServer
    daemon: RunningDaemon
    dsn: str
    index_name: str

    def assert_equal(self, rest: Rest) -> None:
        """What the daemon shows is what the one that is left has."""
        until(lambda: self.daemon.events("failover_followed") or self.loads() > 1, 60, "it is seen")
        self.daemon.wait_until("streaming")
        self.daemon.catch_up()
        assert assert_equal(self.dsn, rest, EXPECTED) > 0

    def loads(self) -> int:
        """How often everything was loaded."""
        return len(self.daemon.events("new_generation"))


@pytest.fixture
def unread(
    private_postgres: StartPostgres, start_daemon: StartDaemon, request: pytest.FixtureRequest
) -> Iterator[Pair]:
    """A daemon that was not started yet."""
    version = request.config.getoption("--postgres")
    if version < 16:
        pytest.skip(f"{OF_THE_MACHINE}a standby has logical slots from PostgreSQL 16 on")
    primary = private_postgres()
    with psycopg.connect(primary.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int)")
        connection.execute("insert into item select i, i from generate_series(1, %s) i", [ROWS])
    with standby_of(primary) as standby:
        dsn = dsn_of_both(primary, standby)
        source = {"dsn": dsn, "slot": SLOT, "failover": version >= 17}
        backfill = {"chunk": "8kB", "workers": 1}
        daemon = start_daemon(ITEMS, start=False, source=source, backfill=backfill)
        yield Pair(primary, standby, daemon, dsn, "items-000001")


@pytest.fixture
def pair(unread: Pair) -> Pair:
    """All is loaded, and the standby has a copy of the slot."""
    unread.daemon.start(storing_often)
    unread.daemon.wait_until("streaming")
    copy_slot(unread.primary, unread.standby, SLOT)
    unread.daemon.catch_up()
    return unread


@contextmanager
def writing(dsn: str) -> Iterator[None]:
    """Change rows all the time, on whichever server takes writes."""
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as connection:
                while not ended.is_set():
                    number += 1
                    connection.execute("update item set n = -n where id = %s", [number % ROWS])
                    connection.execute("insert into item values (%s, 0)", [ROWS + number])
                    connection.execute("delete from item where id = %s", [ROWS + number - 100])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)


def only_what_the_standby_has(primary: embedded.PostgresServer) -> None:
    """The stream never gets ahead of the standby."""
    with psycopg.connect(primary.dsn, autocommit=True) as connection:
        connection.execute(f"alter system set synchronized_standby_slots = '{PHYSICAL_SLOT}'")
        connection.execute("select pg_reload_conf()")


def write_what_is_lost(pair: Pair) -> None:
    """The daemon shows it, and the standby has never heard of it."""
    pair.standby.pause()
    with psycopg.connect(pair.primary.dsn, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots "
            "where slot_name = %s",
            [PHYSICAL_SLOT],
        )
        connection.execute("update item set n = 0 where id <= 100")
        connection.execute("delete from item where id between 101 and 200")
        connection.execute("insert into item select -i, 0 from generate_series(1, 100) i")
    pair.daemon.catch_up()


def test_a_failover_under_load_is_followed(pair: Pair, rest: Rest) -> None:
    """In the same process, by the same index: nothing is loaded, lost, stale or invented."""
    if pair.primary.version < 17:
        pytest.skip(f"{OF_THE_MACHINE}PostgreSQL waits for standbys from 17 on")
    only_what_the_standby_has(pair.primary)
    received = pair.daemon.position("received")
    with writing(pair.dsn):
        until(lambda: pair.daemon.position("received") > received + 50_000, 30, "it is under load")
        fail_over(pair.primary, pair.standby)
        until(lambda: pair.daemon.events("failover_followed"), 60, "it goes on")
        pair.daemon.wait_until("streaming")
    pair.assert_equal(rest)
    assert pair.loads() == 1
    assert set(rest.get("/_alias/items")) == {pair.index_name}
    assert len(pair.daemon.events("starting")) == 1


def test_a_failover_amid_a_load_is_followed(unread: Pair, rest: Rest) -> None:
    """What is durable by then needn't be read again; the rest is read from the new primary."""
    daemon = unread.daemon
    load_at(daemon, rows_per_second=15)
    daemon.start(storing_often)
    until(lambda: rows_loaded(daemon) > 0, 60, "some rows are loaded")
    with psycopg.connect(unread.primary.dsn, autocommit=True) as connection:
        connection.execute("update item set n = -n where id % 3 = 0")
    copy_slot(unread.primary, unread.standby, SLOT)
    rows = rows_loaded(daemon)
    promote(unread.primary, unread.standby)
    daemon.wait_until("loading")
    until(lambda: daemon.events("failover_followed"), 60, "it goes on")
    daemon.wait_until("loading")
    assert daemon.terminate() == 0
    load_at(daemon, rows_per_second=10_000)
    daemon.start()
    unread.assert_equal(rest)
    assert unread.loads() == 1
    resumed = daemon.events("loading")[1]
    assert resumed["resumed"]
    assert rows <= resumed["rows_before"] < ROWS


def load_at(daemon: RunningDaemon, rows_per_second: int) -> None:
    """From its next start on."""
    whole = json.loads(daemon.file.read_text())
    whole["backfill"]["rows_per_second"] = rows_per_second
    daemon.file.write_text(json.dumps(whole))


def rows_loaded(daemon: RunningDaemon) -> int:
    """How many are durable, of the load that is under way."""
    loads = daemon.status().get("backfill", {}).get("loads", [])
    return sum(load["rows"] for load in loads)


def test_a_failover_while_the_daemon_is_away_is_followed(pair: Pair, rest: Rest) -> None:
    """It ended in order, and so the start knows that nothing was written that is lost."""
    assert pair.daemon.terminate() == 0
    with psycopg.connect(pair.primary.dsn, autocommit=True) as connection:
        connection.execute("update item set n = -n")
    promote(pair.primary, pair.standby)
    pair.daemon.start()
    pair.assert_equal(rest)
    assert pair.loads() == 1
    assert set(rest.get("/_alias/items")) == {pair.index_name}


def test_a_failover_that_lost_what_is_searched_loads_anew(pair: Pair, rest: Rest) -> None:
    """In the running daemon: documents of commits that never happened go with the old index."""
    write_what_is_lost(pair)
    pair.primary.kill()
    pair.standby.resume()
    fail_over(pair.primary, pair.standby)
    pair.assert_equal(rest)
    assert pair.loads() == 2
    assert "documents show changes up to" in pair.daemon.events("new_generation")[-1]["reason"]
    assert len(pair.daemon.events("starting")) == 1


def test_nobody_knows_what_a_killed_daemon_wrote(pair: Pair, rest: Rest) -> None:
    """A start after kill -9 and a failover loads anew: the checkpoint lags behind the writes."""
    write_what_is_lost(pair)
    pair.daemon.kill()
    pair.primary.kill()
    pair.standby.resume()
    fail_over(pair.primary, pair.standby)
    pair.daemon.start()
    pair.assert_equal(rest)
    assert pair.loads() == 2
    assert "did not end in order" in pair.daemon.events("new_generation")[-1]["reason"]
