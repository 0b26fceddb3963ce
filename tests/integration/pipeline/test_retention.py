"""A daemon that is too far behind lets the source go, where it was told to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until
from tests.generators.standby import change_history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import OpenSearchServer, Server
    from tests.conftest import Database, StartPostgres
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

ITEMS: dict[str, Any] = {"items": {"from": "item", "fields": {"id": None, "n": None}}}
EXPECTED = {"items": "select id::text, jsonb_build_object('id', id, 'n', n) from item"}
LIMIT = {"warn": "4MB", "critical": "8MB", "limit": "20MB", "at_limit": "drop"}
GROW = "select pg_logical_emit_message(false, 'test', repeat('x', 1000000))"


def test_at_the_limit_the_slot_is_dropped_and_the_next_start_loads_anew(
    database: Database, opensearch: OpenSearchServer, rest: Rest, start_daemon: StartDaemon
) -> None:
    """A sink that hangs doesn't fill the source's disk; and nothing is missing afterwards."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int)")
        connection.execute("insert into item select i, i from generate_series(1, 500) i")
        daemon = start_daemon(ITEMS, source={"wal": LIMIT})
        daemon.wait_until("streaming")
        daemon.catch_up()
        opensearch.pause()
        connection.execute("update item set n = n + 1")
        for _ in range(10):
            connection.execute(GROW)
        until(lambda: len(daemon.events("retained_wal_high")) == 1, 20, "it warns")
        assert daemon.events("retained_wal_high")[0]["step"] == "critical"
        for _ in range(15):
            connection.execute(GROW)
        assert daemon.wait(60) == 3
        assert "20,000,000 are the limit" in daemon.said()
        assert slots(connection) == 0
        opensearch.resume()
        daemon.start()
        daemon.wait_until("streaming")
        daemon.catch_up()
        reasons = [event["reason"] for event in daemon.events("new_generation")]
        assert "the slot was dropped" in reasons[-1]
        assert_equal(database.dsn, rest, EXPECTED)
        assert slots(connection) == 1


@contextmanager
def away(server: Server) -> Iterator[None]:
    """Stopped, and there again afterwards."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def test_the_limit_holds_while_a_start_is_retried(
    private_postgres: StartPostgres, opensearch: OpenSearchServer, start_daemon: StartDaemon
) -> None:
    """After a failover, while the sink is away: the start in place waits, and the log grows."""
    server = private_postgres()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int)")
    daemon = start_daemon(ITEMS, source={"dsn": server.dsn, "wal": LIMIT})
    daemon.wait_until("streaming")
    daemon.catch_up()
    with away(opensearch):
        change_history(server)
        until(lambda: daemon.events("start_retry"), 60, "the start in place waits")
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            for _ in range(10):
                connection.execute(GROW)
            until(lambda: daemon.events("retained_wal_high"), 20, "it warns")
            assert daemon.total("cdc_slot_retained_wal_bytes") > 4_000_000
            for _ in range(15):
                connection.execute(GROW)
            assert daemon.wait(60) == 3
            assert "20,000,000 are the limit" in daemon.said()
            assert slots(connection) == 0


def slots(connection: psycopg.Connection) -> int:
    """How many slots of this database there are."""
    found = connection.execute(
        "select count(*)::int from pg_replication_slots where database = current_database()"
    ).fetchone()
    assert found is not None
    return int(found[0])
