"""Values that PostgreSQL stores out of line and leaves out of updates (UNCHANGED)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.generators.oracle import assert_equal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

SOURCE_ERROR_EXIT_CODES = {1, 3}
LARGE = "(select string_agg(md5(i::text), '') from generate_series(1, 500) i)"


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database with one row that has a large value."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute("create table page (id int primary key, n int, body text)")
        opened.execute(f"insert into page values (1, 0, {LARGE})")
        yield opened


def test_unchanged_value_of_a_mapped_column_stops(
    connection: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """An update that leaves a mapped value out ends the daemon, which says what to do."""
    daemon = start_daemon({"pages": {"from": "page", "fields": "*"}})
    daemon.wait_until("streaming")
    connection.execute("update page set n = 1")
    code = daemon.wait(20)
    assert code in SOURCE_ERROR_EXIT_CODES
    said = daemon.said()
    assert "public.page" in said
    assert "body" in said
    assert "alter table public.page replica identity full" in said
    assert "Traceback" not in said
    # What was there stays as it was, and a further start stops at the same place.
    assert rest.get("/pages/_doc/1")["_source"]["n"] == 0
    daemon.start()
    assert daemon.wait(20) == code


def test_full_replica_identity_brings_the_value(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """With replica identity full the value is taken from the old row."""
    connection.execute("alter table page replica identity full")
    daemon = start_daemon({"pages": {"from": "page", "fields": "*"}})
    daemon.wait_until("streaming")
    connection.execute("update page set n = 1")
    connection.execute("update page set id = 2")
    connection.execute(f"insert into page values (3, 0, {LARGE})")
    connection.execute("update page set n = n + 1 where id = 3")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, {"pages": "select id::text, to_jsonb(page) from page"})


def test_unmapped_value_does_not_matter(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """An update that leaves out what no read model shows is like any other."""
    fields = {"id": None, "n": None}
    daemon = start_daemon({"pages": {"from": "page", "fields": fields, "where": "n >= 0"}})
    daemon.wait_until("streaming")
    connection.execute("update page set n = 1")
    connection.execute("update page set id = 2")
    daemon.catch_up()
    expected = {"pages": "select id::text, jsonb_build_object('id', id, 'n', n) from page"}
    assert assert_equal(database.dsn, rest, expected) == 1
