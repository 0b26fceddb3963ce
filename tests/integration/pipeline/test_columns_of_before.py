"""A column that comes and is filled after mappings were compiled, before changes are streamed."""

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

PROJECTIONS: dict[str, Any] = {"items": {"from": "item", "fields": "*", "freshness": "20ms"}}
EXPECTED = {"items": "select id::text, to_jsonb(item) from item"}
ADDED = "alter table item add x text"
FILLED = "update item set x = 'new' where id % 5 = 3"
WAITS_TO_PUBLISH = """
select count(*) from pg_stat_activity
where query ~ '^(create|alter) publication' and wait_event_type = 'Lock'
"""
PATIENCE_SECONDS = 30
ON_BOTH = pytest.mark.parametrize("database", [15, 18], indirect=True)


@pytest.fixture
def item(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database of one table; nobody has followed it yet."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int)")
        connection.execute("insert into item select i, i from generate_series(1, 20) i")
        yield connection


def assert_right(daemon: RunningDaemon, database: Database, rest: Rest) -> None:
    """The column was noticed, and every document equals its row."""
    until(lambda: bool(daemon.events("schema_changed")), PATIENCE_SECONDS, "it is noticed")
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert_equal(database.dsn, rest, EXPECTED, ("x",))


@ON_BOTH
@pytest.mark.usefixtures("item")
def test_before_the_slot(database: Database, start_daemon: StartDaemon, rest: Rest) -> None:
    """No change from before it comes; rows are read after it."""
    with psycopg.connect(database.dsn) as open_one:
        open_one.execute("select pg_current_xact_id()")  # whom a new slot waits for
        daemon = start_daemon(PROJECTIONS)
        until(lambda: bool(daemon.events("creating_slot")), PATIENCE_SECONDS, "a slot is made")
        open_one.execute(ADDED)
        open_one.execute(FILLED)
        open_one.commit()
    assert_right(daemon, database, rest)


@ON_BOTH
def test_before_the_table_is_published(
    item: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """The publication waits for who alters the table: what that one writes is in no stream."""
    with psycopg.connect(database.dsn) as open_one:
        open_one.execute("lock table item in share update exclusive mode")
        daemon = start_daemon(PROJECTIONS)
        until(
            lambda: item.execute(WAITS_TO_PUBLISH).fetchall() == [(1,)],
            PATIENCE_SECONDS,
            "it waits to publish the table",
        )
        open_one.execute(ADDED)
        open_one.execute(FILLED)
        open_one.commit()
    assert_right(daemon, database, rest)
