"""A slot that is lost while the daemon runs is made anew by it; or it stops, if told to."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import StartPostgres
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = 500
ITEMS: dict[str, Any] = {"items": {"from": "item", "fields": {"id": None, "n": None}}}
EXPECTED = {"items": "select id::text, jsonb_build_object('id', id, 'n', n) from item"}
SLOT = "from pg_replication_slots where slot_type = 'logical'"
GROW = "select pg_logical_emit_message(false, 'test', repeat('x', 1000000))"


@pytest.fixture
def connection(private_postgres: StartPostgres) -> Iterator[psycopg.Connection]:
    """A session on a server of this test's own that keeps little of its log."""
    server = private_postgres(settings={"max_slot_wal_keep_size": "16MB", "min_wal_size": "32MB"})
    with psycopg.connect(server.dsn, autocommit=True) as opened:
        opened.execute("create table item (id int primary key, n int)")
        opened.execute("insert into item select i, i from generate_series(1, %s) i", [ROWS])
        yield opened


def drop(connection: psycopg.Connection) -> None:
    """Somebody drops it."""
    connection.execute(f"select pg_terminate_backend(active_pid) {SLOT}")
    until(lambda: connection.execute(f"select 1 {SLOT} and not active").fetchone(), 10, "free")
    connection.execute(f"select pg_drop_replication_slot(slot_name) {SLOT}")


def invalidate(connection: psycopg.Connection) -> None:
    """The server removes log that is still needed."""

    def lost() -> bool:
        for _ in range(10):
            connection.execute(GROW)
        connection.execute("checkpoint")
        return connection.execute(f"select 1 {SLOT} and wal_status = 'lost'").fetchone() is not None

    until(lost, 60, "the slot is lost")


def streaming(start_daemon: StartDaemon, connection: psycopg.Connection, **more: Any) -> Any:
    """A daemon that has loaded all rows."""
    daemon = start_daemon(ITEMS, source={"dsn": dsn_of(connection)}, **more)
    daemon.wait_until("streaming")
    daemon.catch_up()
    return daemon


def dsn_of(connection: psycopg.Connection) -> str:
    """How the daemon connects."""
    info = connection.info
    return f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"


def lose(
    daemon: RunningDaemon,
    connection: psycopg.Connection,
    accident: Callable[[psycopg.Connection], None],
) -> None:
    """While the daemon is looking elsewhere; with changes that nobody will hear of."""
    daemon.signal(signal.SIGSTOP)
    connection.execute("delete from item where id <= 100")
    connection.execute("update item set n = -n")
    accident(connection)
    daemon.signal(signal.SIGCONT)


@pytest.mark.parametrize("accident", [drop, invalidate])
def test_the_running_daemon_makes_it_anew(
    connection: psycopg.Connection,
    start_daemon: StartDaemon,
    rest: Rest,
    accident: Callable[[psycopg.Connection], None],
) -> None:
    """In the same process; it says why, and loads everything into a new index."""
    daemon: RunningDaemon = streaming(start_daemon, connection)
    (before,) = rest.get("/_alias/items")
    lose(daemon, connection, accident)
    until(lambda: len(daemon.events("new_generation")) == 2, 60, "it loads anew")
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(dsn_of(connection), rest, EXPECTED) == ROWS - 100
    assert "slot was dropped or lost" in daemon.events("new_generation")[-1]["reason"]
    assert set(rest.get("/_alias/items")) != {before}
    assert len(daemon.events("starting")) == 1
    assert daemon.metrics()["cdc_slot_active{slot=" + f'"{slot(connection)}"' + "}"] == 1


def test_it_stops_where_it_is_told_to(
    connection: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Each start says why, and makes nothing, until somebody lets it load."""
    daemon: RunningDaemon = streaming(start_daemon, connection, backfill={"when_lost": "stop"})
    (before,) = rest.get("/_alias/items")
    lose(daemon, connection, drop)
    assert daemon.wait(60) == 3
    daemon.start()
    assert daemon.wait(60) == 3
    assert daemon.said().count("backfill.when_lost is stop") == 2
    assert set(rest.get("/items-*/_alias")) == {before}
    assert connection.execute(f"select 1 {SLOT}").fetchone() is None
    whole = json.loads(daemon.file.read_text())
    del whole["backfill"]
    daemon.file.write_text(json.dumps(whole))
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(dsn_of(connection), rest, EXPECTED) == ROWS - 100


def slot(connection: psycopg.Connection) -> str:
    """Its name."""
    found = connection.execute(f"select slot_name::text {SLOT}").fetchone()
    assert found is not None
    return str(found[0])


NOT_PUBLISHED = "alter publication {} set (publish_generated_columns = none)"


@pytest.mark.parametrize(
    ("backfill", "why"),
    [({"when_lost": "stop"}, "when_lost is stop"), ({"mode": "never"}, "mode is never")],
    ids=["when_lost stop", "mode never"],
)
def test_a_refused_mapping_leaves_the_slot_to_the_one_before(
    connection: psycopg.Connection,
    start_daemon: StartDaemon,
    rest: Rest,
    backfill: dict[str, str],
    why: str,
) -> None:
    """A column that is generated needs another slot, if the publication left it out until now."""
    connection.execute("alter table item add twice int generated always as (n * 2) stored")
    daemon = streaming(start_daemon, connection)
    assert daemon.terminate() == 0
    ((publication,),) = connection.execute("select pubname::text from pg_publication").fetchall()
    connection.execute(sql.SQL(NOT_PUBLISHED).format(sql.Identifier(publication)))
    before = connection.execute(f"select slot_name {SLOT}").fetchall()
    configuration = json.loads(daemon.file.read_text())
    fields = configuration["projections"]["items"]["fields"]
    fields["twice"] = None
    daemon.file.write_text(json.dumps({**configuration, "backfill": backfill}))
    daemon.start()
    assert daemon.wait(30) != 0
    assert why in daemon.said()
    assert connection.execute(f"select slot_name {SLOT}").fetchall() == before != []
    assert not daemon.events("slot_dropped")
    assert rest.get("/items/_count")["count"] == ROWS
