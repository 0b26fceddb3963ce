"""A mapping that gets another table: only what reads it is loaded, whatever happens meanwhile."""

from __future__ import annotations

import signal
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

FIELDS: dict[str, Any] = {"id": None, "n": None}
OLD: dict[str, Any] = {"olds": {"from": "old", "fields": FIELDS}}
BOTH: dict[str, Any] = {**OLD, "items": {"from": "item", "fields": FIELDS}}
ROWS = "select id::text, jsonb_build_object('id', id, 'n', n) from "
EXPECTED = {"olds": ROWS + "old", "items": ROWS + "item"}
CONFIRMED = (
    "select confirmed_flush_lsn - '0/0' from pg_replication_slots "
    "where database = current_database()"
)


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """Two tables with rows."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        for table in ("old", "item"):
            opened.execute(f"create table {table} (id int primary key, n int)".encode())
            insert = f"insert into {table} select i, i from generate_series(1, 500) i"
            opened.execute(insert.encode())
        yield opened


@pytest.fixture
def uuid_before(connection: psycopg.Connection, start_daemon: StartDaemon, rest: Rest) -> str:
    """Of the index of a daemon that had followed only `old`, and was stopped."""
    assert connection.autocommit
    daemon = start_daemon(OLD)
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert daemon.terminate() == 0
    return uuid_of(rest)


def uuid_of(rest: Rest) -> str:
    """Of the index that is searched as `olds`."""
    ((_, settings),) = rest.get("/olds/_settings").items()
    return str(settings["settings"]["index"]["uuid"])


def waits_for_writers(daemon: RunningDaemon, times: int = 1) -> bool:
    """Whether it has said so that often."""
    waits = [one for one in daemon.events("backfill_retry") if one["reason"] == "writers"]
    return len(waits) >= times


def finish(daemon: RunningDaemon, database: Database, rest: Rest) -> None:
    """All is loaded, and right."""
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert_equal(database.dsn, rest, EXPECTED)
    assert not daemon.events("slot_dropped")


def test_only_the_new_table_is_loaded(
    connection: psycopg.Connection,
    database: Database,
    uuid_before: str,
    start_daemon: StartDaemon,
    rest: Rest,
) -> None:
    """While it waits for a transaction that writes it, the others go on, and so does the slot."""
    with psycopg.connect(database.dsn) as writing:
        writing.execute("insert into item values (1001, 0)")
        daemon = start_daemon(BOTH)
        until(lambda: waits_for_writers(daemon), 60, "it waits for the transaction")
        (before,) = connection.execute(CONFIRMED).fetchone() or (0,)
        connection.execute("update old set n = -n")
        daemon.catch_up()
        assert_equal(database.dsn, rest, {"olds": EXPECTED["olds"]})
        until(
            lambda: (connection.execute(CONFIRMED).fetchone() or (0,))[0] > before,
            30,
            "the slot goes on",
        )
        writing.execute("insert into item values (1002, 0)")
        writing.execute("update item set n = 5 where id = 1001")
        writing.commit()
    connection.execute("update item set n = -n where id < 100")
    finish(daemon, database, rest)
    assert uuid_of(rest) == uuid_before
    assert [one["projection"] for one in daemon.events("new_generation")] == ["olds", "items"]


@pytest.mark.parametrize(
    "crash_after", ["the table was added", "the load began"], ids=["added", "began"]
)
def test_a_crash_before_rows_are_read_loses_nothing(
    connection: psycopg.Connection,
    database: Database,
    uuid_before: str,
    start_daemon: StartDaemon,
    rest: Rest,
    crash_after: str,
) -> None:
    """The next start waits for the transaction as the first one would have."""
    add = f"alter publication {publication(connection)} add table only item"
    with psycopg.connect(database.dsn) as writing:
        writing.execute("insert into item values (1001, 0)")
        if crash_after == "the table was added":
            connection.execute(add.encode())
            daemon = start_daemon(BOTH)
        else:
            daemon = start_daemon(BOTH)
            until(lambda: waits_for_writers(daemon), 60, "it waits for the transaction")
            daemon.kill()
            daemon.start()
        until(lambda: waits_for_writers(daemon, 2), 60, "it waits again")
        writing.execute("insert into item values (1002, 0)")
        writing.commit()
    finish(daemon, database, rest)
    assert uuid_of(rest) == uuid_before


def test_a_table_that_left_the_publication_for_a_while_is_loaded_anew(
    connection: psycopg.Connection,
    database: Database,
    uuid_before: str,
    start_daemon: StartDaemon,
    rest: Rest,
) -> None:
    """It looks as before, and what was changed meanwhile is in no stream; the others go on."""
    daemon = start_daemon(BOTH)
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert daemon.terminate() == 0
    name = publication(connection)
    connection.execute(f"alter publication {name} drop table only item".encode())
    connection.execute("update item set n = -n where id < 100; delete from item where id > 400")
    connection.execute(f"alter publication {name} add table only item".encode())
    connection.execute("update item set n = 0 where id = 200")
    daemon.start()
    finish(daemon, database, rest)
    assert uuid_of(rest) == uuid_before
    *_, anew = daemon.events("new_generation")
    assert anew["projection"] == "items"
    assert "not in the stream all the time" in anew["reason"]


@pytest.mark.parametrize("back", [False, True], ids=["out", "out and in"])
def test_a_table_that_leaves_the_publication_while_it_is_followed_is_noticed(
    connection: psycopg.Connection,
    database: Database,
    uuid_before: str,
    start_daemon: StartDaemon,
    rest: Rest,
    back: bool,  # noqa: FBT001 - whether somebody puts it back
) -> None:
    """No row brings it, and no restart is needed: it is published again, and loaded anew."""
    daemon = start_daemon(BOTH)
    daemon.wait_until("streaming")
    daemon.catch_up()
    name = publication(connection)
    with connection.transaction():
        connection.execute(f"alter publication {name} drop table only item".encode())
    connection.execute("update item set n = -n where id < 100; delete from item where id > 400")
    if back:
        connection.execute(f"alter publication {name} add table only item".encode())
    until(lambda: bool(daemon.events("schema_changed")), 60, "it is noticed")
    connection.execute("update item set n = 0 where id = 200")
    finish(daemon, database, rest)
    assert uuid_of(rest) == uuid_before
    (changed,) = daemon.events("schema_changed")
    assert changed["table"] == "public.item"
    assert "taken out of what the source streams" in changed["why"]
    *_, anew = daemon.events("new_generation")
    assert anew["projection"] == "items"
    assert "not in the stream all the time" in anew["reason"]
    members = connection.execute("select tablename from pg_publication_tables order by 1")
    assert members.fetchall() == [("item",), ("old",)]


OPTIONS = {
    "operations": ("publish = 'insert'", "publish = 'insert, update, delete, truncate'"),
    "root": ("publish_via_partition_root = false", "publish_via_partition_root = true"),
}


@pytest.mark.parametrize("back", [False, True], ids=["altered", "altered back"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options_of_the_publication_that_are_altered_lose_nothing(
    connection: psycopg.Connection,
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    options: tuple[str, str],
    back: bool,  # noqa: FBT001 - whether somebody sets them right again
) -> None:
    """What comes meanwhile is left out, or described as of a partition, and that is noticed."""
    connection.execute("alter table item rename to item_1")
    connection.execute("create table item (id int primary key, n int) partition by range (id)")
    connection.execute("alter table item attach partition item_1 for values from (0) to (10000)")
    daemon = start_daemon(BOTH)
    daemon.wait_until("streaming")
    daemon.catch_up()
    altered, right = options
    alter = f"alter publication {publication(connection)} set "
    daemon.signal(signal.SIGSTOP)  # it could look between two of these
    connection.execute(f"{alter} ({altered})".encode())
    connection.execute("update item set n = -n where id < 100; delete from item where id > 400")
    connection.execute("update old set n = -n where id < 100")
    if back:
        connection.execute(f"{alter} ({right})".encode())
    daemon.signal(signal.SIGCONT)
    until(lambda: bool(daemon.events("schema_changed")), 60, "it is noticed")
    connection.execute("update item set n = 0 where id = 200")
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert_equal(database.dsn, rest, EXPECTED)
    assert bool(daemon.events("slot_dropped")) is not back
    (changed,) = daemon.events("schema_changed")
    assert "what is streamed of it was altered" in changed["why"]


def test_a_publication_that_is_not_ours_to_alter_stops_the_daemon(
    connection: psycopg.Connection,
    uuid_before: str,
    start_daemon: StartDaemon,
) -> None:
    """A table is taken out of it: nothing more can be followed, and that is said with the SQL."""
    assert uuid_before
    daemon = start_daemon(OLD, source={"publication": {"manage": False}})
    daemon.wait_until("streaming")
    connection.execute(f"alter publication {publication(connection)} drop table only old".encode())
    assert daemon.wait(60) == 3
    assert 'add table only "public"."old"' in daemon.said()


def publication(connection: psycopg.Connection) -> str:
    """The daemon's."""
    found = connection.execute("select pubname from pg_publication").fetchone()
    assert found is not None
    return str(found[0])
