"""PostgreSQL or OpenSearch goes away under load: the daemon goes on, and loses nothing."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest

from tests.generators.budget import seeded
from tests.generators.history import EXPECTED, PROJECTIONS, Load, Sampler, fill
from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer, PostgresServer, Server
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS") or 20)
"""Several times as long as what ends within it: the sink's timeout, and the server's below."""
SINK_TIMEOUT_SECONDS = 5
SENDER_TIMEOUT_SECONDS = 6
"""The server ends a replication connection that says nothing for so long."""
MEGABYTE = 1_000_000
WALSENDER = """
select active_pid from pg_replication_slots where database = current_database() and active
"""


def restart(server: Server, *, crash: bool) -> None:
    """Away for a moment: stopped in order, or killed."""
    if crash:
        server.kill()
    else:
        server.stop()
    time.sleep(1)
    server.start()


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
def test_postgres_restarts(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    postgres_server: PostgresServer,
    *,
    crash: bool,
) -> None:
    """A PostgreSQL that restarts under load, in order or by a crash, is followed again."""
    seed, _ = seeded()
    print(f"seed {seed}")  # noqa: T201 - to replay a failure
    fill(database.dsn)
    daemon = start_daemon(PROJECTIONS)
    daemon.wait_until("streaming")
    with Sampler(rest) as sampler, Load(database.dsn, seed, pause_seconds=0.1):
        time.sleep(1)
        restart(postgres_server, crash=crash)
        daemon.wait_until("streaming")
        time.sleep(1)
    daemon.catch_up()
    assert_equal(database.dsn, rest, EXPECTED)
    assert not sampler.wrong, sampler.wrong[:5]
    assert daemon.total("cdc_reconnects_total") >= 1
    assert len(daemon.events("new_generation")) == len(PROJECTIONS)


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
def test_opensearch_restarts(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    opensearch: OpenSearchServer,
    *,
    crash: bool,
) -> None:
    """An OpenSearch that restarts under load, in order or by a crash, is written to again."""
    seed, _ = seeded()
    print(f"seed {seed}")  # noqa: T201 - to replay a failure
    fill(database.dsn)
    daemon = start_daemon(PROJECTIONS)
    daemon.wait_until("streaming")
    with Sampler(rest) as sampler, Load(database.dsn, seed, pause_seconds=0.2):
        time.sleep(1)
        restart(opensearch, crash=crash)
        time.sleep(1)
    daemon.catch_up()
    assert_equal(database.dsn, rest, EXPECTED)
    assert not sampler.wrong, sampler.wrong[:5]
    assert daemon.total("cdc_bulk_retries_total") >= 1


class Inserts(threading.Thread):
    """Inserts rows of a kilobyte, a few hundred a second, until stopped."""

    def __init__(self, dsn: str) -> None:
        super().__init__(daemon=True)
        self._dsn = dsn
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Insert."""
        key = 0
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop_asked.wait(0.1):
                connection.execute(
                    "insert into item select i, repeat(md5(i::text), 30)"
                    " from generate_series(%s::int, %s::int) i",
                    [key, key + 49],
                )
                key += 50

    def stop(self) -> None:
        """Stop, and wait for the end."""
        self._stop_asked.set()
        self.join(30)


def walsender(connection: psycopg.Connection) -> int | None:
    """The process that sends to the daemon."""
    row = connection.execute(WALSENDER).fetchone()
    return row[0] if row else None


@pytest.mark.parametrize("how", ["frozen", "stopped"])
def test_opensearch_is_away(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    opensearch: OpenSearchServer,
    how: str,
) -> None:
    """Meanwhile the connection and the memory stay as they are and the delay rises; then all comes.

    The queue is small, so that the daemon soon can't read on: it must answer the server all the
    same, which ends connections that are silent.
    """
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, t text)")
        timeout = f"-c wal_sender_timeout={SENDER_TIMEOUT_SECONDS}s"
        daemon = start_daemon(
            {"items": {"from": "item", "fields": "*"}},
            source={"dsn": f"{database.dsn}?options={quote(timeout)}"},
            memory={"queue": "1MB", "batch": "500kB"},
            sink={"timeout": f"{SINK_TIMEOUT_SECONDS}s"},
        )
        daemon.wait_until("streaming")
        inserts = Inserts(database.dsn)
        inserts.start()
        time.sleep(3)
        sender = until(lambda: walsender(connection), 10, "the slot is followed")
        _outage(daemon, opensearch, how)
        assert walsender(connection) == sender, "the connection was kept"
        inserts.stop()
        daemon.catch_up(60)
        until(lambda: daemon.delay() < 2, 10, "the delay comes down")
        assert walsender(connection) == sender, "the connection was kept"
    expected = {"items": "select id::text, to_jsonb(item) from item"}
    assert assert_equal(database.dsn, rest, expected) > OUTAGE_SECONDS * 100


def _outage(daemon: RunningDaemon, opensearch: OpenSearchServer, how: str) -> None:
    (opensearch.pause if how == "frozen" else opensearch.stop)()
    time.sleep(OUTAGE_SECONDS / 4)
    memory, delay, began = daemon.anonymous_bytes(), daemon.delay(), time.monotonic()
    time.sleep(OUTAGE_SECONDS * 3 / 4)
    risen, passed = daemon.delay() - delay, time.monotonic() - began
    grown = daemon.anonymous_bytes() - memory
    print(f"memory {memory} grew by {grown}, delay {delay:.1f} by {risen:.1f} in {passed:.1f} s")  # noqa: T201 - the figures
    assert abs(risen - passed) < 2.5, "the delay rises by a second a second"
    assert grown < 12 * MEGABYTE
    if how == "frozen":
        opensearch.resume()
    else:
        opensearch.start()


@pytest.mark.parametrize("side", ["source", "sink"])
def test_restart_while_loading(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    postgres_server: PostgresServer,
    opensearch: OpenSearchServer,
    side: str,
) -> None:
    """A server that restarts during the first load: all rows arrive, and those deleted are gone."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, t text)")
        connection.execute(
            "insert into item select i, repeat('x', 200) from generate_series(1, 50000) i"
        )
    daemon = start_daemon(
        {"items": {"from": "item", "fields": "*"}}, memory={"queue": "1MB", "batch": "1MB"}
    )
    daemon.wait_until("loading")
    until(lambda: daemon.total("cdc_load_rows_total") > 1000, 20, "rows are loaded")
    if side == "source":
        restart(postgres_server, crash=True)
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute("delete from item where id % 100 = 0")
    else:
        restart(opensearch, crash=True)
    daemon.wait_until("streaming", 90)
    daemon.catch_up()
    expected = {"items": "select id::text, to_jsonb(item) from item"}
    compared = assert_equal(database.dsn, rest, expected)
    assert compared == (49_500 if side == "source" else 50_000)
    assert len(daemon.events("new_generation")) == 1, "it goes on"
