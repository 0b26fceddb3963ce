"""Tables change while the daemon follows them: documents come right, and it goes on by itself."""

from __future__ import annotations

import random
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import psycopg
import pytest

from tests.generators.budget import rounds, seeded
from tests.generators.changing_table import Scene
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

TABLE = """
create type mood as enum ('sad', 'happy');
create table item (id int primary key, n int not null, name varchar(10), mood mood, junk text);
insert into item select i, i, 'n' || i, 'sad', 'j' || i from generate_series(1, 400) i;
"""
PROJECTIONS: dict[str, Any] = {
    "every": {"from": "item", "fields": "*", "freshness": "20ms"},
    "some": {"from": "item", "fields": {"id": None, "n": None}, "freshness": "20ms"},
}
EVERY = "select id::text, to_jsonb(item) from item"
SOME = "select id::text, jsonb_build_object('id', id, 'n', n) from item"


class Writer(threading.Thread):
    """Writes rows in small transactions, whatever columns there are, until it is told to stop."""

    def __init__(self, dsn: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._dsn = dsn
        self._random = random.Random(seed)
        self._stop_asked = threading.Event()
        self.committed = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join(30)
        assert not self.is_alive()

    def run(self) -> None:
        """Commit until stopped; a statement that no longer fits the table is rolled back."""
        with psycopg.connect(self._dsn, options="-c lock_timeout=5s") as connection:
            while not self._stop_asked.wait(self._random.uniform(0, 0.03)):
                try:
                    for _ in range(self._random.randint(1, 4)):
                        connection.execute(self._statement().encode())
                    connection.commit()
                    self.committed += 1
                except psycopg.Error:
                    connection.rollback()

    def _statement(self) -> str:
        one, other = self._random.randint(1, 500), self._random.randint(1, 500)
        return self._random.choice(
            [
                f"insert into item (id, n) values ({one}, {other}) on conflict do nothing",
                f"update item set n = '{other}' where id = {one}",
                f"update item set name = 'w{other}' where id % 50 = {one % 50}",
                f"update item set x = {other} where id % 50 = {one % 50}",
                f"update item set junk = 'w{other}' where id = {one}",
                f"update item set id = {other} where id = {one}",
                f"delete from item where id = {one}",
            ]
        )


COLUMNS = (
    *("add x int", "add x int default 3", "drop x", "drop junk", "add junk text default 'j'"),
    *("rename junk to x", "rename x to junk", "rename name to title", "rename title to name"),
    *("alter n type text", "alter n type int using n::int", "alter n type int using n::int + 1"),
    *("alter n set default 5", "add y float default random()", "drop y", "drop mood"),
)
PLAIN_MOVES = (*(f"alter table item {one}" for one in COLUMNS), "vacuum full item", "truncate item")
PARTS = """junk text) partition by range (id);
create table low partition of item for values from (0) to (200);
create table high partition of item for values from (200) to (100000);
"""
PARTED = TABLE.replace("junk text);\n", PARTS)
PARTED_MOVES = (
    *PLAIN_MOVES[:-2],
    *("truncate low", "vacuum full high", "truncate item", "alter table item detach partition low"),
    "alter table item attach partition low for values from (0) to (200)",
)


@pytest.fixture
def scene(database: Database, start_daemon: StartDaemon, rest: Rest) -> Iterator[Scene]:
    """All is loaded."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLE)
    made = Scene(database, start_daemon(PROJECTIONS), rest)
    made.settle()
    yield made
    made.close()


def live(scene: Scene, ddl: str) -> None:
    """While the daemon runs."""
    scene.touch()
    scene.run(ddl)
    scene.touch()
    scene.wait_until_noticed()


def at_once(scene: Scene, ddl: str) -> None:
    """Rows before and after it in one transaction."""
    scene.run("begin")
    scene.touch()
    scene.run(ddl)
    scene.touch()
    scene.run("commit")
    scene.touch()
    scene.wait_until_noticed()


def backlog(scene: Scene, ddl: str) -> None:
    """While the daemon is stopped."""
    assert scene.daemon.terminate() == 0
    scene.touch()
    scene.run(ddl)
    scene.touch()
    scene.daemon.start()


def killed(scene: Scene, ddl: str) -> None:
    """The daemon is killed before and after it notices."""
    scene.touch()
    scene.run(ddl)
    scene.daemon.kill()
    scene.touch()
    scene.daemon.start()
    until(lambda: scene.daemon.status().get("state") in {"streaming", "loading"}, 30, "it is up")
    scene.touch()
    scene.daemon.kill()
    scene.touch()
    scene.daemon.start()


WAYS = pytest.mark.parametrize("way", [live, at_once, backlog, killed])
"""How a change meets the daemon."""


@WAYS
@pytest.mark.parametrize(
    "ddl",
    [
        "alter table item add x int default 5",
        "alter table item add x float default random()",
        "alter table item drop junk",
        "alter table item rename junk to rubbish",
        "alter table item alter n type text",
        "alter table item alter n type int using n + 1000",
        "alter table item drop junk;\nalter table item add junk text default 'new'",
        "alter type mood rename value 'sad' to 'blue'",
        (
            "alter table item rename junk to j;\nalter table item rename name to junk;\n"
            "alter table item rename j to name"
        ),
        "alter table item replica identity full",
    ],
)
def test_a_change_of_columns_reaches_every_document(
    scene: Scene, way: Callable[[Scene, str], None], ddl: str
) -> None:
    """Also of rows that nobody has touched, whatever the stream still brings of the old shape."""
    way(scene, ddl)
    scene.settle()
    scene.touch()
    scene.settle()
    scene.compare(every=EVERY, some=SOME)


@WAYS
def test_a_column_that_is_added_empty_loads_nothing(
    scene: Scene, way: Callable[[Scene, str], None]
) -> None:
    """A mapping of every column takes it into the index that is searched."""
    before = scene.daemon.status()["indices"]
    way(scene, "alter table item add x int")
    scene.settle()
    scene.run("update item set x = 7 where id % 3 = 0")
    scene.settle()
    scene.compare(every=EVERY, some=SOME)
    assert scene.daemon.status()["indices"] == before
    assert len(scene.daemon.events("loading")) == 1, "the first load"
    found = scene.rest.post("/every/_search", {"query": {"term": {"x": 7}}})
    assert found["hits"]["hits"]


@pytest.mark.parametrize(
    "statements",
    [
        "vacuum full item;\nanalyze item;\ncluster item using item_pkey;\nvacuum freeze item",
        (
            "alter table item alter n set default 7;\ngrant select (n) on item to public;\n"
            "alter table item alter name type varchar(20);\ncreate index on item (name)"
        ),
    ],
    ids=["rewritten", "altered"],
)
def test_what_alters_no_value_loads_nothing(scene: Scene, statements: str) -> None:
    """Nor does it disturb the daemon; the change that comes after it all is noticed."""
    scene.run(statements)
    until(lambda: scene.is_adopted("item"), 20, "the checkpoint has its shape", poll_seconds=0.2)
    live(scene, "alter table item add x int")
    scene.settle()
    scene.compare(every=EVERY, some=SOME)
    (noticed,) = scene.daemon.events("schema_changed")
    assert "column x" in noticed["why"]
    assert len(scene.daemon.events("loading")) == 1


def test_a_name_that_was_another_type_before_gets_a_new_index(scene: Scene) -> None:
    """The index that is searched can't take it; it goes on until the new one is whole."""
    (before,) = scene.rest.get("/_alias/every")
    for ddl in ("add x int", "drop x", "add x text default 'late'"):
        known = len(scene.daemon.events("schema_changed"))
        scene.run(f"alter table item {ddl}")
        scene.wait_until_noticed(known + 1)
        scene.settle()
    scene.compare(every=EVERY, some=SOME)
    (after,) = scene.rest.get("/_alias/every")
    assert after != before


def test_what_was_changed_and_changed_back_is_read_again(scene: Scene) -> None:
    """The catalog is as before, but rows of the stream are not: the daemon doesn't trust them."""
    assert scene.daemon.terminate() == 0
    scene.run(
        "alter table item rename name to title;\nupdate item set title = 'x' where id < 9;\n"
        "alter table item rename title to name"
    )
    scene.daemon.start()
    scene.wait_until_noticed()
    scene.settle()
    scene.touch()
    scene.settle()
    scene.compare(every=EVERY, some=SOME)


def test_rows_of_a_type_that_was_altered_under_open_transactions(
    scene: Scene, database: Database
) -> None:
    """Nothing locks them out: each brings the old shape when it commits, long after the change."""
    scene.run(
        "create type address as (street text);\nalter table item add home address;\n"
        "update item set home = row('before')"
    )
    scene.wait_until_noticed()
    scene.settle()
    writers = [psycopg.connect(database.dsn) for _ in range(2)]
    for number, writer in enumerate(writers):
        writer.execute("update item set home = row('open') where id = %s", [number + 10])
    known = len(scene.daemon.events("schema_changed"))
    scene.run("alter type address add attribute town text")
    scene.wait_until_noticed(known + 1)
    scene.settle()
    for writer in writers:
        writer.commit()
        scene.touch()
        scene.settle()
        writer.close()
    scene.compare(every=EVERY, some=SOME)


def test_a_column_that_the_mapping_names_and_that_is_gone_stops(scene: Scene) -> None:
    """The place in the file, and the nearest name; corrected, it goes on."""
    scene.touch()
    scene.run("alter table item rename n to nn")
    assert scene.daemon.wait(30) == 2
    assert "projections.some.fields.n: table public.item has no column n" in scene.daemon.said()
    scene.run("alter table item rename nn to n")
    scene.daemon.start()
    scene.settle()
    scene.touch()
    scene.settle()
    scene.compare(every=EVERY, some=SOME)


@pytest.mark.parametrize(
    ("table", "moves"),
    [(TABLE, PLAIN_MOVES), (PARTED, PARTED_MOVES)],
    ids=["plain", "partitioned"],
)
def test_tables_that_change_again_and_again_under_writers(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    capsys: pytest.CaptureFixture[str],
    table: str,
    moves: tuple[str, ...],
) -> None:
    """Killed now and then, too: when all have stopped every document equals its row."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(table.encode())
    scene = Scene(database, start_daemon(PROJECTIONS), rest)
    scene.settle()
    seed, chosen = seeded()
    done = 0
    with Writer(database.dsn, seed) as writer, Writer(database.dsn, seed + 1) as second:
        for _ in rounds(0.5):
            for _ in range(8):
                time.sleep(chosen.uniform(0, 0.6))
                with suppress(psycopg.errors.ProgrammingError):
                    scene.run(chosen.choice(moves))
                    done += 1
            scene.daemon.kill()
            scene.daemon.start()
    with capsys.disabled():
        committed = writer.committed + second.committed
        print(  # noqa: T201 - property tests say what they did
            f"[seed {seed}: {done} changes of the table, {committed} transactions]", file=sys.stderr
        )
    scene.settle()
    known = len(scene.daemon.events("schema_changed"))
    scene.run("alter table item add the_last int")
    scene.wait_until_noticed(known + 1)
    scene.settle()
    scene.compare(every=EVERY, some=SOME)
    scene.close()
