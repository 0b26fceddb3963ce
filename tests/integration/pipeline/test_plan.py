"""`cdc-daemon plan`: what a start will do is said before it, and nothing is done by saying so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg

from tests.generators.forked import command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

STAYS = {"stays": {"from": "stay", "fields": ["room"]}}


def planned(file: Path) -> list[tuple[str, str]]:
    """Action and subject of each step."""
    result = command("plan", str(file), "-o", "json")
    assert result.returncode == 0, result.stderr
    return [(step["action"], step["subject"]) for step in json.loads(result.stdout)["steps"]]


def changed(file: Path, **projections: object) -> Path:
    """The configuration with other projections."""
    whole = json.loads(file.read_text())
    whole["projections"] = projections
    other = file.with_name("changed.yaml")
    other.write_text(json.dumps(whole))
    return other


def test_the_steps_of_the_next_start(
    database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """The first one, one that changes nothing, one with a changed mapping and a new table."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table stay (id int primary key, room text, price int)")
        connection.execute("create table guest (id int primary key, name text)")
        connection.execute("insert into stay values (1, 'suite', 3)")
    daemon = start_daemon(STAYS, start=False)
    before = rest.text("GET", "/_cat/indices?h=index&s=index")
    assert planned(daemon.file) == [
        ("publish", "public.stay"),
        ("slot", ""),
        ("create", "a new index of stays"),
        ("load", "public.stay"),
    ]
    assert rest.text("GET", "/_cat/indices?h=index&s=index") == before
    with psycopg.connect(database.dsn) as connection:
        made = "select (select count(*) from pg_publication) + count(*) from pg_replication_slots"
        assert connection.execute(made.encode()).fetchone() == (0,)
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    (index,) = rest.get("/_alias/stays")
    assert planned(daemon.file) == [("keep", index)]
    other = changed(
        daemon.file,
        stays={"from": "stay", "fields": ["room", "price"]},
        guests={"from": "guest", "fields": ["name"]},
    )
    assert planned(other) == [
        ("publish", "public.guest"),
        ("create", "a new index of stays"),
        ("create", "a new index of guests"),
        ("load", "public.stay"),
        ("load", "public.guest"),
    ]
    assert planned(daemon.file) == [("keep", index)]
