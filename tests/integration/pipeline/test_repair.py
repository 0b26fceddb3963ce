"""A read model that somebody spoiled in OpenSearch is repaired while writers go on."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.budget import seeded
from tests.generators.controlled_daemon import ControlledDaemon
from tests.generators.history import EXPECTED, PROJECTIONS, WITHOUT_TRUNCATE, Load, fill
from tests.generators.oracle import assert_equal, documents
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = 6_000
KILLS = 3
SLOWLY: dict[str, Any] = {"chunk": "50kB", "rows_per_second": 3_000}
ITEMS: dict[str, Any] = {"items": {"from": "item", "fields": "*", "freshness": "20ms"}}
ITEMS_EXPECTED = {"items": "select id::text, to_jsonb(item) from item"}


@pytest.fixture
def items(database: Database) -> Iterator[psycopg.Connection]:
    """A table of many chunks."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int, note text)")
        connection.execute(
            "insert into item select i, i, repeat('x', 60) from generate_series(1, %s) i", [ROWS]
        )
        yield connection


@pytest.fixture
def daemon(items: psycopg.Connection, start_daemon: StartDaemon) -> ControlledDaemon:
    """It has loaded the table."""
    assert items.autocommit
    return loaded(start_daemon(ITEMS, start=False, backfill=SLOWLY))


def loaded(running: RunningDaemon) -> ControlledDaemon:
    """Start it with a key, and wait until all is loaded."""
    controlled = ControlledDaemon(running)
    controlled.load()
    return controlled


def spoil(rest: Rest, read_model: str, *, every: int = 10) -> int:
    """Alter, delete and add documents, in the ways that OpenSearch has; how many."""
    hits = rest.post(f"/{read_model}/_search", {"size": 1000, "version": True})["hits"]["hits"]
    lines: list[dict[str, Any]] = [{"index": {"_index": f"{read_model}-000001", "_id": "?"}}, {}]
    for at, hit in enumerate(hits[::every]):
        action = {"_index": hit["_index"], "_id": hit["_id"]}
        if at % 3 == 0:
            lines += [{"delete": action}]
        elif at % 3 == 1:
            lines += [{"index": action}, {}]
        else:
            version = {"version": hit["_version"] + 1, "version_type": "external"}
            lines += [{"index": {**action, **version}}, {}]
        ghost = {**action, "_id": f"ghost {at}"}
        lines += [{"index": ghost}, {}]
        older = {"version": 1 + at, "version_type": "external"}
        lines += [{"index": {**ghost, "_id": f"old ghost {at}", **older}}, {}]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    answer = json.loads(rest.text("POST", "/_bulk?refresh=true", body.encode()))
    assert not answer["errors"], answer
    return len(hits[::every])


def test_a_spoiled_read_model_comes_right_under_writers(
    database: Database, start_daemon: StartDaemon, rest: Rest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed or not: every document equals its row, and those without a row are gone."""
    seed, chosen = seeded()
    fill(database.dsn, rows=ROWS)
    daemon = loaded(start_daemon(PROJECTIONS, start=False, backfill=SLOWLY))
    spoilt = sum(spoil(rest, read_model) for read_model in EXPECTED)
    assert spoilt > 100
    with Load(database.dsn, seed, sessions=2, pause_seconds=0.2, plan=WITHOUT_TRUNCATE):
        for read_model in EXPECTED:
            if not any(read_model in load["projections"] for load in daemon.loads()):
                daemon.start(projection=read_model)
        until(lambda: daemon.rows() > 0, 60, "rows are read")
        assert all(load["repairs"] for load in daemon.loads())
        for _ in range(KILLS):
            time.sleep(chosen.uniform(0, 1))
            daemon.running.kill()
            daemon.running.start()
            until(lambda: daemon.running.status().get("backfill"), 60, "it goes on")
        until(daemon.done, 180, "all is repaired")
    daemon.running.catch_up(90)
    repaired = {name for one in daemon.running.events("repaired") for name in one["projections"]}
    assert repaired == set(EXPECTED)
    compared = assert_equal(database.dsn, rest, EXPECTED)
    with capsys.disabled():
        print(f"\n[seed {seed}: {spoilt} documents spoilt, {compared} compared]", file=sys.stderr)  # noqa: T201 - property tests say what they did


def test_an_idle_source_is_no_obstacle(
    daemon: ControlledDaemon, items: psycopg.Connection, database: Database, rest: Rest
) -> None:
    """What the last commit wrote has a higher version when somebody changes it: that is no end."""
    items.execute("update item set n = -1 where id = any(%s)", [[5, 6, 7]])
    until(lambda: rest.get("/items/_doc/5")["_source"]["n"] == -1, 10, "it is there")
    rest.delete("/items-000001/_doc/5?refresh=true")
    for _ in range(3):
        rest.put("/items-000001/_doc/6?refresh=true", {"id": 6})
    items.execute("delete from item where id = 7")
    until(lambda: not rest.get("/_search?q=_id:7")["hits"]["hits"], 10, "it is gone")
    rest.put("/items-000001/_doc/7?refresh=true", {"id": 7})
    daemon.start(table="public.item")
    until(daemon.done, 60, "all is repaired")
    daemon.running.catch_up()
    assert assert_equal(database.dsn, rest, ITEMS_EXPECTED) == ROWS - 1


def test_a_pause_outlives_a_change_of_a_table(
    daemon: ControlledDaemon, items: psycopg.Connection, database: Database, rest: Rest
) -> None:
    """The daemon begins anew in the same process: nothing is read before somebody resumes."""
    daemon.start(table="public.item")
    assert daemon.ask("pause")[0] == 200
    anew = len(daemon.running.events("new_generation"))
    items.execute("alter table item alter n type bigint")
    begun = daemon.running.events
    until(lambda: len(begun("new_generation")) > anew, 60, "it makes another index")
    until(lambda: daemon.running.status().get("backfill"), 60, "it goes on")
    assert daemon.running.status()["backfill"]["paused"]
    assert daemon.ask("resume")[0] == 200
    until(daemon.done, 60, "all is loaded")
    daemon.running.catch_up()
    assert_equal(database.dsn, rest, ITEMS_EXPECTED)


def test_a_kill_in_the_middle(daemon: ControlledDaemon, database: Database, rest: Rest) -> None:
    """The next start goes on where it was, into the index that is searched all the time."""
    spoil(rest, "items")
    daemon.start(table="public.item")
    until(lambda: daemon.rows() > 1500, 30, "some rows are read")
    assert len(stored(daemon, rest)) == 1
    daemon.running.kill()
    assert rest.get("/items/_count")["count"] > 0
    daemon.running.start()
    until(lambda: daemon.rows() > 0 or "repaired" in daemon.ended(), 60, "it goes on")
    until(daemon.done, 60, "all is repaired")
    daemon.running.catch_up()
    assert assert_equal(database.dsn, rest, ITEMS_EXPECTED) == ROWS
    resumed = [one for one in daemon.running.events("loading") if one["resumed"]]
    assert [one["rows_before"] > 0 for one in resumed] == [True]
    assert list(rest.get("/_alias/items")) == ["items-000001"]
    until(lambda: stored(daemon, rest) == [], 10, "it is over")


def test_only_some_rows_are_read_again(
    items: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Killed in the middle it goes on with them; other documents, and those without a row, stay."""
    projections = {"items": {**ITEMS["items"], "where": "n <> 12"}}
    daemon = loaded(start_daemon(projections, start=False, backfill=SLOWLY))
    for key in ("10", "11", "12", "5990", "5991", "ghost"):
        rest.put(f"/items-000001/_doc/{key}?refresh=true", {"n": -1})
    status, answer = daemon.ask("start", table="public.item", where="idd % 2 = 0")
    assert status == 400
    assert 'column "idd" does not exist' in answer["error"]
    daemon.start(table="public.item", where="id % 2 = 0")
    until(lambda: daemon.rows() > 500, 30, "some rows are read")
    assert [load["where"] for load in stored(daemon, rest)] == ["id % 2 = 0"]
    daemon.running.kill()
    daemon.running.start()
    until(lambda: "repaired" in daemon.ended(), 60, "it is repaired")
    daemon.running.catch_up()
    found = {key: document for key, (_, document) in documents(rest, "items").items()}
    assert [int(found[key]["n"].text) for key in ("10", "5990")] == [10, 5990]
    assert [int(found[key]["n"].text) for key in ("11", "5991", "ghost")] == [-1] * 3
    assert "12" not in found, "its row is left out by the projection"
    until(lambda: stored(daemon, rest) == [], 10, "it is over")
    (ended,) = daemon.running.events("repaired")
    assert (ended["rows"], ended["deleted"]) == (ROWS // 2, 0)
    assert items.autocommit


def stored(daemon: ControlledDaemon, rest: Rest) -> list[dict[str, Any]]:
    """The loads that the stored checkpoint has."""
    name = json.loads(daemon.running.file.read_text())["name"]
    found: list[dict[str, Any]]
    found = rest.get(f"/cdc-daemon-checkpoints/_doc/{name}")["_source"]["checkpoint"]["loads"]
    return found


def test_pausing_and_cancelling(
    daemon: ControlledDaemon, items: psycopg.Connection, database: Database, rest: Rest
) -> None:
    """While it is paused nothing is read, and changes come; cancelled, all stays as it is."""
    rest.put("/items/_doc/ghost?refresh=true", {})
    daemon.start(projection="items")
    until(lambda: daemon.rows() > 500, 30, "some rows are read")
    assert daemon.ask("pause")[1]["paused"]
    until(lambda: daemon.running.metrics()["cdc_backfill_chunks"] == 0, 10, "all is durable")
    rows = daemon.rows()
    assert daemon.running.metrics()["cdc_backfill_paused"] == 1
    assert 0 < daemon.running.metrics()['cdc_backfill_progress_ratio{table="public.item"}'] < 1
    items.execute("update item set n = -1 where id = 5999")
    until(lambda: rest.get("/items/_doc/5999")["_source"]["n"] == -1, 10, "changes come")
    assert daemon.rows() == rows
    status, answer = daemon.ask("cancel", table="public.item")
    assert (status, answer["loads"]) == (200, [])
    daemon.running.wait_until("streaming")
    assert rest.get("/items/_doc/ghost")["found"], "nothing is deleted"
    until(lambda: stored(daemon, rest) == [], 10, "it is over")
    daemon.start(projection="items")
    until(daemon.done, 60, "all is repaired")
    daemon.running.catch_up()
    assert assert_equal(database.dsn, rest, ITEMS_EXPECTED) == ROWS
    assert daemon.ended()[-2:] == ["cancelled", "repaired"]


def test_truncate_and_vacuum_full_while_it_is_repaired(
    daemon: ControlledDaemon, items: psycopg.Connection, database: Database, rest: Rest
) -> None:
    """The table is planned anew; what is gone is gone, what is new is there."""
    spoil(rest, "items")
    daemon.start(table="public.item")
    until(lambda: daemon.rows() > 500, 30, "some rows are read")
    items.execute("delete from item where id % 3 = 0")
    items.execute("vacuum full item")
    until(lambda: daemon.running.events("table_rewritten"), 30, "it has noticed")
    with items.transaction():
        items.execute("truncate item")
        items.execute("insert into item select i, -i, 'new' from generate_series(1, 100) i")
    until(daemon.done, 60, "all is repaired")
    daemon.running.catch_up()
    assert assert_equal(database.dsn, rest, ITEMS_EXPECTED) == 100


def test_without_a_key_nobody_changes_anything(
    items: psycopg.Connection, start_daemon: StartDaemon
) -> None:
    """403, and how to have one."""
    assert items.autocommit
    running = start_daemon(ITEMS)
    running.wait_until("streaming")
    status, answer = ControlledDaemon(running).ask("start", table="public.item")
    assert status == 403
    assert "web.api_key" in answer["error"]


@contextmanager
def held_insert(items: psycopg.Connection, dsn: str) -> Iterator[None]:
    """The row 7000 is in the stream, but not visible to anybody until the end."""
    items.execute("set synchronous_commit = local")
    hold_commits(items, "nobody")
    with psycopg.connect(dsn, autocommit=True) as writing:
        insert = "insert into item values (7000, 7000, 'held')"
        thread = threading.Thread(target=writing.execute, args=[insert])
        thread.start()
        try:
            yield
        finally:
            hold_commits(items, "")
            thread.join(20)


def hold_commits(items: psycopg.Connection, standby: str) -> None:
    """Let commits wait for that standby, which isn't there; or let them go."""
    items.execute(f"alter system set synchronous_standby_names = '{standby}'".encode())
    items.execute("select pg_reload_conf()")


def test_a_commit_that_nobody_sees_yet_keeps_its_document(
    daemon: ControlledDaemon, items: psycopg.Connection, database: Database, rest: Rest
) -> None:
    """It was streamed before the repair began, and waits for a standby: the repair waits for it."""
    with held_insert(items, database.dsn):
        until(lambda: rest.get("/_search?q=_id:7000")["hits"]["hits"], 10, "it is streamed")
        items.execute("update item set n = -1 where id = 1")
        daemon.start(table="public.item")
        until(lambda: daemon.running.events("backfill_retry"), 30, "the repair waits")
        assert daemon.running.events("backfill_retry")[0]["reason"] == "unsettled"
        assert [load["phase"] for load in daemon.loads()] == ["planning"]
    until(daemon.done, 60, "all is repaired")
    daemon.running.catch_up()
    assert assert_equal(database.dsn, rest, ITEMS_EXPECTED) == ROWS + 1
