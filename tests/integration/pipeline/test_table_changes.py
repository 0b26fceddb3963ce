"""Tables are renamed, made again, keyed anew and partitioned anew while the daemon follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.changing_table import Scene
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

ITEMS: dict[str, Any] = {"items": {"from": "item", "fields": "*", "freshness": "20ms"}}
EXPECTED = "select id::text, to_jsonb(item) from item"
PLAIN = """
create table item (id int primary key, n int not null, name text);
insert into item select i, i, 'n' || i from generate_series(1, 400) i;
"""
PARTED = """
create table item (id int primary key, n int not null, name text) partition by range (id);
create table item_low partition of item for values from (0) to (200);
create table item_high partition of item for values from (200) to (100000);
insert into item select i, i, 'n' || i from generate_series(1, 400) i;
create table item_far (like item including all);
insert into item_far select i, i, 'far' from generate_series(200001, 200050) i;
"""
SLOWLY: dict[str, Any] = {"chunk": "4kB", "rows_per_second": 400}


@pytest.fixture
def scene_of(
    database: Database, start_daemon: StartDaemon, rest: Rest
) -> Iterator[Callable[..., Scene]]:
    """Make the table by some SQL, and a daemon that has loaded it."""
    made: list[Scene] = []

    def make(sql: str, projections: dict[str, Any] = ITEMS, **sections: Any) -> Scene:
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute(sql.encode())
        made.append(Scene(database, start_daemon(projections, **sections), rest))
        made[-1].settle()
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    "ddl",
    [
        "truncate item_low",
        "drop table item_low;\ncreate table low partition of item for values from (0) to (200)",
        "alter table item detach partition item_low",
        (
            "alter table item detach partition item_low concurrently;\n"
            "create table item_new partition of item for values from (0) to (200)"
        ),
        "alter table item attach partition item_far for values from (200000) to (300000)",
        "vacuum full item_high",
        "alter table item add x int default 5",
        "alter table item alter n type int using n + 1000",
    ],
)
@pytest.mark.parametrize("is_away", [False, True], ids=["live", "backlog"])
def test_partitions_come_and_go_with_their_rows(
    scene_of: Callable[..., Scene], ddl: str, *, is_away: bool
) -> None:
    """The stream says nothing of it, the catalog does."""
    scene = scene_of(PARTED)
    if is_away:
        assert scene.daemon.terminate() == 0
    scene.run("update item set n = -1 where id % 5 = 0")
    scene.run(ddl)
    scene.run("update item set name = 'later' where id % 3 = 0")
    if is_away:
        scene.daemon.start()
    else:
        scene.wait_until_noticed()
    scene.settle()
    scene.run("update item set n = -2 where id % 11 = 0")
    scene.settle()
    scene.compare(items=EXPECTED)
    assert len(scene.daemon.events("loading")) == 2, "the first load, and one again"


def test_an_empty_partition_is_taken_in(scene_of: Callable[..., Scene]) -> None:
    """People make one every day: nothing is loaded, and its rows come."""
    scene = scene_of(PARTED)
    scene.run("create table item_more partition of item for values from (300000) to (400000)")
    until(lambda: scene.has_taken_in("item_more"), 20, "it is taken in while it is empty")
    scene.run("insert into item select i, i, 'more' from generate_series(300000, 300010) i")
    scene.settle()
    scene.compare(items=EXPECTED)
    assert len(scene.daemon.events("loading")) == 1


@pytest.mark.parametrize(
    ("ddl", "now"),
    [
        ("alter table item rename to things", "public.things"),
        ("create schema other;\nalter table item set schema other", "other.item"),
    ],
)
def test_a_table_that_has_another_name_stops(
    scene_of: Callable[..., Scene], ddl: str, now: str
) -> None:
    """The message has it, and what to do."""
    scene = scene_of(PLAIN)
    scene.touch()
    scene.run(ddl)
    assert scene.daemon.wait(30) == 3
    assert f"table item does not exist: it is called {now} now" in scene.daemon.said()


@pytest.mark.parametrize(
    "ddl",
    [
        "drop table item;\n" + PLAIN.replace("400) i;", "90) i"),
        (
            "create table next (like item including all);\n"
            "insert into next values (1, 7, 'swapped');\n"
            "alter table item rename to before;\nalter table next rename to item"
        ),
        "alter table item drop constraint item_pkey;\nalter table item add primary key (n, id)",
    ],
    ids=["made again", "swapped", "other key"],
)
def test_a_table_under_the_same_name_is_followed_again(
    scene_of: Callable[..., Scene], ddl: str
) -> None:
    """With its rows, and its ids."""
    scene = scene_of(PLAIN)
    scene.touch()
    scene.run("begin")
    scene.run(ddl)
    scene.run("commit")
    scene.touch()
    scene.wait_until_noticed()
    scene.settle()
    scene.touch()
    scene.settle()
    key = "n || '|' || id" if "primary key (n" in ddl else "id::text"
    scene.compare(items=f"select {key}, to_jsonb(item) from item")


@pytest.mark.parametrize(
    "ddl",
    [
        "alter table item alter n type text",
        "alter table item drop name",
        "alter table item add x int",
        "alter table item add x int default 5",
        "alter table item alter n type int using n + 1000",
    ],
)
def test_a_change_while_rows_are_read(scene_of: Callable[..., Scene], ddl: str) -> None:
    """By another start, a second one, and by the stream."""
    scene = scene_of(PLAIN, backfill=SLOWLY)
    assert scene.daemon.terminate() == 0
    scene.run("alter table item alter n type int using n + 1")
    scene.daemon.start()
    until(scene.is_loading, 30, "rows are read again")
    scene.touch()
    scene.run(ddl)
    scene.touch()
    scene.wait_until_noticed()
    scene.settle()
    scene.compare(items=EXPECTED)


def test_a_missing_column_may_be_null(scene_of: Callable[..., Scene]) -> None:
    """The field is null, or has its default, until the column is there again."""
    fields = {"id": None, "n": None, "name": {"default": "none"}}
    scene = scene_of(
        PLAIN, {"items": {**ITEMS["items"], "fields": fields, "missing_columns": None}}
    )
    scene.run("alter table item drop name;\nupdate item set n = 0 where id < 100")
    scene.wait_until_noticed()
    scene.settle()
    shown = "jsonb_build_object('id', id, 'n', n, 'name', {})"
    scene.compare(items=f"select id::text, {shown.format(chr(39) + 'none' + chr(39))} from item")
    scene.run("alter table item add name text default 'back'")
    scene.wait_until_noticed(2)
    scene.settle()
    scene.compare(items=f"select id::text, {shown.format('name')} from item")
    assert scene.daemon.events("column_missing")


def test_a_type_that_the_mapping_does_not_take_stops(scene_of: Callable[..., Scene]) -> None:
    """What the mapping says of the index is up to people: with the line, and what would fit."""
    fields = {"id": None, "n": {"type": "integer"}}
    scene = scene_of(PLAIN, {"items": {**ITEMS["items"], "fields": fields}})
    scene.run("alter table item alter n type money")
    assert scene.daemon.wait(30) == 2
    assert "projections.items.fields.n" in scene.daemon.said()
    assert "type: keyword" in scene.daemon.said()
