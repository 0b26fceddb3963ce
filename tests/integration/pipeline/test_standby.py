"""Of two daemons of a pipeline one runs, and the other takes over within seconds."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.standby import STARTING_SECONDS
from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = 2000
TAKE_OVER_SECONDS = 10.0
"""From the death of the one until the other streams, on a machine that is shared by others."""
SENDER_TIMEOUT_SECONDS = 2
ITEMS: dict[str, Any] = {"items": {"from": "item", "fields": {"id": None, "n": None}}}
EXPECTED = {"items": "select id::text, jsonb_build_object('id', id, 'n', n) from item"}
SLOTS = "select active_pid from pg_replication_slots where database = current_database()"


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database with one table of some rows."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute("create table item (id int primary key, n int)")
        opened.execute("insert into item select i, i from generate_series(1, %s) i", [ROWS])
        yield opened


@pytest.fixture
def two(
    connection: psycopg.Connection, start_daemon: StartDaemon
) -> tuple[RunningDaemon, RunningDaemon]:
    """One that has loaded all and streams, and its standby."""
    assert connection.autocommit
    first = start_daemon(ITEMS, standby=True, folder="first")
    first.wait_until("streaming")
    second = start_daemon(ITEMS, standby=True, folder="second")
    second.wait_until("standby")
    return first, second


@contextmanager
def writing(dsn: str) -> Iterator[None]:
    """Change rows all the time."""
    ended = threading.Event()

    def write() -> None:
        number = 0
        with psycopg.connect(dsn, autocommit=True) as connection:
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


def assert_only(daemon: RunningDaemon, database: Database, rest: Rest) -> None:
    """It runs the pipeline, by the index that was loaded first, and all is right."""
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) >= ROWS
    assert set(rest.get("/_alias/items")) == {"items-000001"}
    assert not daemon.events("new_generation")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_takes_over_under_load(
    two: tuple[RunningDaemon, RunningDaemon], database: Database, rest: Rest, how: signal.Signals
) -> None:
    """Within seconds, and goes on from the checkpoint: nothing is lost, nothing loaded anew."""
    first, second = two
    received = first.position("received")
    with writing(database.dsn):
        until(lambda: first.position("received") > received + 50_000, 30, "it is under load")
        first.signal(how)
        first.wait(30)
        began = time.monotonic()
        second.wait_until("streaming", TAKE_OVER_SECONDS)
        print(f"took over {time.monotonic() - began:.1f} s after {how.name}")  # noqa: T201 - shown with -s
    assert_only(second, database, rest)
    first.start()
    first.wait_until("standby")


def test_a_standby_is_well_and_touches_nothing(
    two: tuple[RunningDaemon, RunningDaemon], connection: psycopg.Connection
) -> None:
    """It is alive and ready, shows no delay of its own, and stops at once."""
    first, second = two
    for _ in range(3):
        assert second.health("livez") == (200, "")
        status, reason = second.health("readyz")
        assert status == 200
        assert "standby" in reason
    assert second.metrics()['cdc_pipeline_state{state="standby"}'] == 1
    assert "cdc_replication_delay_seconds" not in "".join(second.metrics())
    assert len(connection.execute(SLOTS).fetchall()) == 1
    assert second.terminate(5) == 0
    assert first.status()["state"] == "streaming"


@pytest.mark.parametrize("standby", [True, False], ids=["as a standby", "ends"])
def test_a_frozen_daemon_overwrites_nothing(
    connection: psycopg.Connection,
    start_daemon: StartDaemon,
    database: Database,
    rest: Rest,
    *,
    standby: bool,
) -> None:
    """The server drops its connection, the other takes over; it wakes up, and gives way."""
    options = f"?options=-c%20wal_sender_timeout%3D{SENDER_TIMEOUT_SECONDS}s"
    source = {"dsn": database.dsn + options, "slot_wait": "3s"}
    first = start_daemon(ITEMS, source=source, standby=standby, folder="first")
    first.wait_until("streaming")
    second = start_daemon(ITEMS, source=source, standby=True, folder="second")
    second.wait_until("standby")
    with writing(database.dsn):
        time.sleep(0.5)
        first.signal(signal.SIGSTOP)
        second.wait_until("streaming", SENDER_TIMEOUT_SECONDS + TAKE_OVER_SECONDS)
        second.catch_up()
        first.signal(signal.SIGCONT)
        if standby:
            first.wait_until("standby", 30)
        else:
            assert first.wait(30) == 5
            assert "another daemon" in first.said()
    assert_only(second, database, rest)
    assert connection.execute(SLOTS).fetchone() != (None,)


def test_gives_way_to_whoever_stored_the_checkpoint(
    connection: psycopg.Connection, start_daemon: StartDaemon, database: Database, rest: Rest
) -> None:
    """Also while its own stream is well: it lets go of the slot, and is the standby then."""
    daemon = start_daemon(ITEMS, standby=True)
    daemon.wait_until("streaming")
    daemon.catch_up()
    until(lambda: daemon.position("checkpoint") == daemon.position("received"), 30, "it is stored")
    path = f"/cdc-daemon-checkpoints/_doc/{daemon.status()['pipeline']}"
    document = rest.get(path)["_source"]
    document["checkpoint"]["owner"] = "another"
    rest.put(path, document)
    connection.execute("update item set n = -n")
    daemon.wait_until("standby", 30)
    until(lambda: connection.execute(SLOTS).fetchone() == (None,), 10, "the slot is free")
    assert rest.get(path)["_source"] == document, "nothing is overwritten"
    daemon.wait_until("streaming", STARTING_SECONDS + TAKE_OVER_SECONDS)
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == ROWS
    assert len(daemon.events("new_generation")) == 1


def test_two_that_start_at_once_are_one_that_runs(
    connection: psycopg.Connection, start_daemon: StartDaemon, database: Database, rest: Rest
) -> None:
    """On a pipeline that never ran: one loads, the other stands by; when it dies, that goes on."""
    # One that is beaten to the slot only stands by after that time.
    source = {"slot_wait": "1s"}
    both = [
        start_daemon(ITEMS, source=source, standby=True, folder=name, start=False)
        for name in ("first", "second")
    ]
    for daemon in both:
        daemon.start()

    def states() -> set[str]:
        return {str(daemon.status().get("state")) for daemon in both}

    until(lambda: states() == {"streaming", "standby"}, 60, "one runs, one waits")
    assert len(connection.execute(SLOTS).fetchall()) == 1
    assert set(rest.get("/items-*/_alias")) == {"items-000001"}
    runs, waits = sorted(both, key=lambda daemon: daemon.status()["state"], reverse=True)
    runs.kill()
    # It may never have seen the other one at work, which then might be starting only.
    waits.wait_until("streaming", STARTING_SECONDS + TAKE_OVER_SECONDS)
    connection.execute("update item set n = -n")
    assert_only(waits, database, rest)
