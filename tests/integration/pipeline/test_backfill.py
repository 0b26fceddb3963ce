"""Existing rows come in while others write and the daemon is killed; nothing is lost or old."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.budget import rounds, seeded
from tests.generators.history import (
    EVERYTHING,
    EXPECTED,
    PROJECTIONS,
    WITHOUT_TRUNCATE,
    Load,
    fill,
    refill,
)
from tests.generators.oracle import assert_equal
from tests.generators.rest import Refused
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = 6_000
SLOWLY: dict[str, Any] = {"chunk": "50kB", "rows_per_second": 4_000}
"""About forty chunks and three seconds for both tables."""
RESTS_SECONDS = 6
RESTING: dict[str, Any] = {"chunk": "50kB", "workers": 1, "rows_per_second": 80}
"""After a chunk of some 480 rows the one worker rests for six seconds."""
ITEMS: dict[str, Any] = {"items": {"from": "item", "fields": "*", "freshness": "20ms"}}
ITEMS_EXPECTED = {"items": "select id::text, to_jsonb(item) from item"}


@contextmanager
def idle_transaction(database: Database) -> Iterator[None]:
    """Somebody has begun something in another database, and gone for lunch."""
    with psycopg.connect(database.dsn, dbname="postgres") as connection:
        connection.execute("select pg_current_xact_id()")
        yield


def rows_loaded(daemon: RunningDaemon) -> int:
    """How many rows of unfinished loads are durable."""
    loads = daemon.status().get("backfill", {}).get("loads", [])
    return sum(int(load["rows"]) for load in loads)


def is_under_way(daemon: RunningDaemon, rest: Rest) -> bool:
    """Whether the checkpoint says that some rows are loaded, or all are."""
    status = daemon.status()
    if status.get("state") == "streaming":
        return True
    try:
        stored = rest.get(f"/cdc-daemon-checkpoints/_doc/{status.get('pipeline')}")["_source"]
    except Refused:
        return False
    return any(load["rows"] for load in stored["checkpoint"]["loads"])


@pytest.fixture
def items(database: Database) -> Iterator[psycopg.Connection]:
    """A table of many chunks."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int, note text)")
        connection.execute(
            "insert into item select i, i, repeat('x', 60) from generate_series(1, %s) i", [ROWS]
        )
        yield connection


def test_kills_while_loading(
    database: Database, start_daemon: StartDaemon, rest: Rest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed at random while it loads under writers, it goes on; every document equals its row."""
    seed, chosen = seeded()
    kills = compared = 0
    fill(database.dsn, rows=ROWS)
    daemon = start_daemon(PROJECTIONS, start=False, backfill=SLOWLY)
    for number in rounds():
        plan = EVERYTHING if number % 3 == 2 else WITHOUT_TRUNCATE
        with Load(database.dsn, seed + number, sessions=2, pause_seconds=0.05, plan=plan):
            daemon.start()
            until(lambda: daemon.status().get("backfill"), 60, "it loads")
            with idle_transaction(database):  # begun later than the slot, which would wait for it
                for _ in range(3):
                    if chosen.random() < 0.8:  # else while it starts
                        until(lambda: is_under_way(daemon, rest), 60, "rows are loaded")
                    time.sleep(chosen.uniform(0, 1))
                    daemon.kill()
                    kills += 1
                    daemon.start()
                daemon.wait_until("streaming", 120)
        daemon.catch_up(90)
        compared += assert_equal(database.dsn, rest, EXPECTED)
        assert daemon.terminate() == 0
        forget_generations(daemon)
        refill(database.dsn, ROWS)
    resumed = [event for event in daemon.events("loading") if event["resumed"]]
    assert resumed
    assert any(event["rows_before"] for event in resumed)
    with capsys.disabled():
        print(  # noqa: T201 - property tests say what they did
            f"\n[seed {seed}: {kills} kills while loading, {compared} documents compared]",
            file=sys.stderr,
        )


def forget_generations(daemon: RunningDaemon) -> None:
    """Another mapping: the next start loads everything into new generations."""
    configuration = json.loads(daemon.file.read_text())
    for projection in configuration["projections"].values():
        settings = projection.setdefault("index", {}).setdefault("settings", {})
        settings["refresh_interval"] = f"{int(settings.get('refresh_interval', '30s')[:-1]) + 1}s"
    daemon.file.write_text(json.dumps(configuration))


def test_a_new_read_model_is_loaded_beside_the_others(
    items: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Those that are there go on: neither loaded again, nor held up."""
    daemon = start_daemon(ITEMS)
    daemon.wait_until("streaming")
    assert daemon.terminate() == 0
    configuration = json.loads(daemon.file.read_text())
    configuration["projections"]["notes"] = {"from": "item", "fields": {"note": {"type": "text"}}}
    configuration["backfill"] = {"chunk": "50kB", "rows_per_second": 1500}
    daemon.file.write_text(json.dumps(configuration))
    daemon.start()
    daemon.wait_until("loading")
    items.execute("update item set n = -1 where id = 5")
    until(lambda: rest.get("/items/_doc/5")["_source"]["n"] == -1, 5, "items go on")
    assert daemon.status()["state"] == "loading"
    assert "notes" not in rest.get("/_alias").get("notes-000001", {}).get("aliases", {})
    daemon.wait_until("streaming")
    daemon.catch_up()
    expected = {"notes": "select id::text, jsonb_build_object('note', note) from item"}
    assert assert_equal(database.dsn, rest, {**ITEMS_EXPECTED, **expected}) == 2 * ROWS
    loaded = [event["projections"] for event in daemon.events("loading")]
    assert loaded == [["items"], ["notes"]]


def test_truncate_while_chunks_are_read(
    items: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """What was read before is gone, what was inserted after is there."""
    daemon = start_daemon(ITEMS, backfill={"chunk": "50kB", "rows_per_second": 1500})
    until(lambda: rows_loaded(daemon) > 500, 30, "some rows are loaded")
    with items.transaction():
        items.execute("truncate item")
        items.execute("insert into item select i, -i, 'new' from generate_series(1, 100) i")
    items.execute("insert into item select i, -i, 'newer' from generate_series(101, 200) i")
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, ITEMS_EXPECTED) == 200


def test_vacuum_full_while_chunks_are_read(
    items: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Rows move to other places: the table is planned anew."""
    daemon = start_daemon(ITEMS, backfill={"chunk": "50kB", "rows_per_second": 1500})
    until(lambda: rows_loaded(daemon) > 500, 30, "some rows are loaded")
    items.execute("delete from item where id % 3 = 0")
    items.execute("vacuum full item")
    items.execute("update item set n = -1 where id > 5000")
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, ITEMS_EXPECTED) == ROWS - ROWS // 3
    assert daemon.events("table_rewritten")


def test_the_vacuum_horizon_is_held_for_one_chunk_only(
    items: psycopg.Connection, start_daemon: StartDaemon
) -> None:
    """Neither by a worker that rests after it, nor by another session of ours, nor by the slot."""
    daemon = start_daemon(ITEMS, backfill=RESTING)
    until(lambda: rows_loaded(daemon), 30, "rows are loaded")
    oldest = 0.0
    held = """
        select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::float8,
               (select count(xmin) from pg_replication_slots where database = current_database())
        from pg_stat_activity where backend_xmin is not null and application_name ~ '^cdc-daemon:'
    """
    loaded = rows_loaded(daemon)
    while rows_loaded(daemon) == loaded:
        [(seconds, slots)] = items.execute(held)
        assert not slots
        oldest = max(oldest, seconds)
        time.sleep(0.02)
    assert oldest < RESTS_SECONDS / 2


def test_it_ends_when_all_is_loaded(
    items: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """`backfill.mode: only`: for a job that fills an index once."""
    assert items.autocommit
    daemon = start_daemon(ITEMS, backfill={"mode": "only"})
    assert daemon.wait(60) == 0
    assert assert_equal(database.dsn, rest, ITEMS_EXPECTED) == ROWS


def test_nothing_is_loaded_where_nobody_wants_it(
    items: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """`backfill.mode: never`: only what changes from now on."""
    daemon = start_daemon(ITEMS, backfill={"mode": "never"})
    daemon.wait_until("streaming")
    items.execute("update item set n = 0 where id = 7")
    daemon.catch_up()
    assert rest.get("/items/_count")["count"] == 1


def test_never_loses_no_documents(
    items: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """What would have to be loaded anew isn't replaced by nothing."""
    assert items.autocommit
    daemon = start_daemon(ITEMS)
    daemon.wait_until("streaming")
    assert daemon.terminate() == 0
    configuration = json.loads(daemon.file.read_text())
    configuration["backfill"] = {"mode": "never"}
    configuration["projections"]["items"]["fields"] = {"id": None}
    daemon.file.write_text(json.dumps(configuration))
    daemon.start()
    assert daemon.wait(20) == 1
    assert "items must be loaded anew" in daemon.said()
    assert "backfill.mode is never" in daemon.said()
    assert rest.get("/items/_count")["count"] == ROWS


def test_never_loses_no_documents_without_a_checkpoint(
    items: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Which was deleted, or a snapshot of the indices came back without it."""
    daemon = start_daemon(ITEMS)
    daemon.wait_until("streaming")
    assert daemon.terminate() == 0
    rest.delete("/cdc-daemon-checkpoints")
    configuration = json.loads(daemon.file.read_text())
    configuration["backfill"] = {"mode": "never"}
    daemon.file.write_text(json.dumps(configuration))
    daemon.start()
    assert daemon.wait(20) == 1
    assert "items must be loaded anew" in daemon.said()
    slots = items.execute(
        "select count(*) from pg_replication_slots where database = current_database()"
    )
    assert slots.fetchall() == [(1,)]
    assert rest.get("/items/_count")["count"] == ROWS


def test_a_column_that_is_retyped_while_rows_are_read(
    items: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Rows are decoded by the types of the start: it begins anew before it reads one by another."""
    daemon = start_daemon(ITEMS, backfill={"chunk": "50kB", "rows_per_second": 1500})
    until(lambda: rows_loaded(daemon) > 500, 30, "some rows are loaded")
    items.execute("alter table item alter n type text using 'a, \"b\": ' || n")
    until(lambda: daemon.events("schema_changed"), 30, "it is noticed")
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, ITEMS_EXPECTED) == ROWS
    assert "column n" in daemon.events("new_generation")[-1]["reason"]
