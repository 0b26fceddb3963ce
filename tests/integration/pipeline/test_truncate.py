"""TRUNCATE empties read models, whatever comes before it, with it, after it, or twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

PROJECTIONS: dict[str, Any] = {
    "items": {"from": "item", "fields": "*", "freshness": "50ms"},
    "large_items": {"from": "item", "where": "id > 50", "fields": {"id": None}},
    "parts": {"from": "part", "fields": "*", "freshness": "50ms"},
}
EXPECTED = {
    "items": "select id::text, to_jsonb(item) from item",
    "large_items": "select id::text, jsonb_build_object('id', id) from item where id > 50",
    "parts": "select id::text, to_jsonb(part) from part",
}
INSERT = "insert into {} select i, {} from generate_series({}, {}) i"


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database with two tables of 100 rows."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        for table in ("item", "part"):
            opened.execute(f"create table {table} (id int primary key, n int)")
            opened.execute(INSERT.format(table, 0, 1, 100))
        yield opened


@pytest.fixture
def daemon(connection: psycopg.Connection, start_daemon: StartDaemon) -> RunningDaemon:
    """A daemon that has loaded them."""
    assert connection.autocommit
    started = start_daemon(PROJECTIONS)
    started.wait_until("streaming")
    started.catch_up()
    return started


@pytest.mark.parametrize(
    ("statements", "left"),
    [
        (["truncate item"], 100),
        (["truncate item, part"], 0),
        (["truncate item", INSERT.format("item", 1, 40, 60)], 100 + 21 + 10),
        (["update item set n = 2", "truncate item", "insert into item values (1, 1)"], 100 + 1),
        (
            ["truncate item", INSERT.format("item", 1, 1, 9), "truncate item, part"],
            0,
        ),
        (["truncate item", INSERT.format("item", 1, 1, 9), "delete from item where id < 9"], 101),
    ],
)
def test_truncate_in_a_transaction(
    connection: psycopg.Connection,
    database: Database,
    daemon: RunningDaemon,
    rest: Rest,
    statements: list[str],
    left: int,
) -> None:
    """Rows from before it go, and those that the same transaction inserts after it stay."""
    with connection.transaction():
        for statement in statements:
            connection.execute(statement)
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == left


def test_truncate_that_is_rolled_back(
    connection: psycopg.Connection, database: Database, daemon: RunningDaemon, rest: Rest
) -> None:
    """A truncate that was never committed deletes nothing."""
    with connection.transaction():
        connection.execute("insert into item values (101, 1)")
        with connection.transaction(force_rollback=True):
            connection.execute("truncate item, part")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 101 + 51 + 100


def test_truncate_is_replayed_after_a_crash(
    connection: psycopg.Connection, database: Database, daemon: RunningDaemon, rest: Rest
) -> None:
    """The same changes and the same truncate once more leave the same documents.

    One read model takes no writes, so that the slot stays where it is and all comes again.
    """
    index = daemon.status()["indices"]["parts"]
    rest.put(f"/{index}/_settings", {"index.blocks.write": True})
    connection.execute("insert into part values (500, 1)")
    connection.execute("update item set n = n + 1")
    connection.execute("truncate item")
    connection.execute(INSERT.format("item", 7, 20, 80))
    connection.execute("delete from item where id > 70")
    rows = "select count(*) from item"
    (count,) = connection.execute(rows).fetchone() or (0,)
    until(lambda: rest.get("/items/_count")["count"] in {count, 100}, 20, "something is written")
    daemon.kill()
    daemon.start()
    daemon.wait_until("streaming")
    rest.put(f"/{index}/_settings", {"index.blocks.write": False})
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 51 + 20 + 101
    daemon.kill()
    daemon.start()
    daemon.wait_until("streaming")
    connection.execute("truncate part")
    daemon.catch_up()
    daemon.kill()
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 51 + 20
