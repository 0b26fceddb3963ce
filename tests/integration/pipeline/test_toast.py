"""Values that PostgreSQL stores out of line and leaves out of updates (UNCHANGED)."""

from __future__ import annotations

import random
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Self

import psycopg
import pytest

from tests.generators.budget import rounds, seeded
from tests.generators.few_holes import FEW, remember_few
from tests.generators.oracle import assert_equal, documents
from tests.generators.rest import Refused
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

WAITING = (
    "select count(*) from pg_locks where not granted and relation = 'odd'::regclass "
    "and database = (select oid from pg_database where datname = current_database())"
)
LARGE = "(select string_agg(md5(i::text), '') from generate_series(1, 500) i)"
MANY = 200
"""Rows of a table where a daemon remembers `FEW` documents that wait."""
PAGES = {"pages": {"from": "page", "fields": "*", "freshness": "20ms"}}
PAGES_EXPECTED = {"pages": "select id::text, to_jsonb(page) from page"}


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database with one row that has a large value."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute("create table page (id int primary key, n int, body text)")
        opened.execute(f"insert into page values (1, 0, {LARGE})")
        yield opened


def test_unchanged_values_are_read_by_key(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Updates, key changes, swaps, rows that enter and leave `where`, deletes, and a new value."""
    projections = {
        "pages": {"from": "page", "fields": "*"},
        "odd": {
            "from": "page",
            "where": "n % 2 = 1 and body is not null",
            "fields": {"body": None},
        },
        "lengths": {"from": "page", "fields": {"l": {"expression": "length(body)"}}},
    }
    expected = {
        "pages": "select id::text, to_jsonb(page) from page",
        "odd": "select id::text, jsonb_build_object('body', body) from page where n % 2 = 1",
        "lengths": "select id::text, jsonb_build_object('l', length(body)) from page",
    }
    connection.execute(f"insert into page select i, i, {LARGE} || i from generate_series(2, 50) i")
    daemon = start_daemon(projections)
    daemon.wait_until("streaming")
    for statement in (
        "update page set n = n + 1",
        "update page set id = id + 100 where id <= 10",
        "update page set n = n + 1 where id > 100",
        "update page set body = 'short' where id in (20, 21)",
        "update page set n = 7 where id in (20, 21, 22)",
        "delete from page where id in (30, 31)",
    ):
        connection.execute(statement.encode())
    with connection.transaction():  # swap two keys
        for old, new in ((40, -1), (41, 40), (-1, 41)):
            connection.execute("update page set id = %s where id = %s", [new, old])
    with connection.transaction():  # gone before it can be read
        connection.execute("update page set n = 0 where id = 45")
        connection.execute("delete from page where id = 45")
    connection.execute("update page set n = 0 where id = 46")
    connection.execute("delete from page where id = 46")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, expected)
    assert not daemon.status()["dead_letters"]
    assert not daemon.total("cdc_dead_letters_total")


def test_keys_of_many_types_are_read_by(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Composite ones too, with everything that needs quotes, and of a partitioned table."""
    connection.execute("create type kind as enum ('a b', 'c''d')")
    connection.execute(
        "create table odd (t text, k kind, d timestamptz, x numeric, u uuid, n int, body text,"
        " primary key (t, k, d, x, u)) partition by list (k)"
    )
    connection.execute("create table odd_a partition of odd for values in ('a b')")
    connection.execute("create table odd_c partition of odd for values in ('c''d')")
    connection.execute(
        "insert into odd"
        f" select t, k, '2026-01-01 00:00:00.5+02', 1.50, gen_random_uuid(), 0, {LARGE}"
        """ from unnest(array['a', 'it''s "x" {y},\\ z', 'é☕']) t,"""
        " unnest(enum_range(null::kind)) k"
    )
    daemon = start_daemon({"odd": {"from": "odd", "fields": {"n": None, "body": None}}})
    daemon.wait_until("streaming")
    connection.execute("update odd set n = 1")
    daemon.catch_up()
    rows = documents(rest, "odd")
    assert [int(document["n"].text) for _, document in rows.values()] == [1] * 6
    assert {len(document["body"]) for _, document in rows.values()} == {16_000}
    assert database.dsn


def test_a_key_whose_label_is_renamed_before_its_row_is_read(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """The daemon goes on, and reads all rows again: their keys have other names now."""
    connection.execute("create type kind as enum ('small', 'large')")
    connection.execute("create table odd (kind kind primary key, n int, body text)")
    connection.execute(f"insert into odd values ('small', 0, {LARGE}), ('large', 0, {LARGE})")
    daemon = start_daemon({"odd": {"from": "odd", "fields": "*"}})
    daemon.wait_until("streaming")
    with psycopg.connect(database.dsn) as altering:
        # Behind the update, before whoever reads the row.
        with connection.transaction():
            connection.execute("update odd set n = 1")
            locking = threading.Thread(target=altering.execute, args=["lock table odd"])
            locking.start()
            until(lambda: connection.execute(WAITING).fetchone() == (1,), 10, "it queues up")
        locking.join(10)
        until(lambda: connection.execute(WAITING).fetchone() == (1,), 10, "the row is to be read")
        altering.execute("alter type kind rename value 'large' to 'huge'")
    daemon.catch_up()
    until(lambda: daemon.events("repaired"), 30, "all rows are read again")
    connection.execute("update odd set n = n + 1")
    daemon.catch_up()
    expected = {"odd": "select kind::text, to_jsonb(odd) from odd"}
    assert assert_equal(database.dsn, rest, expected) == 2


def test_kills_and_writers_with_large_values(
    connection: psycopg.Connection,
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every document is that of one commit at any time, and its row at the end."""
    seed, chosen = seeded()
    rows = f"select i, 0, {LARGE} || '|0' from generate_series(2, 400) i"
    connection.execute(f"insert into page {rows}")
    daemon = start_daemon(
        {"pages": {"from": "page", "fields": "*", "freshness": "20ms"}},
        start=False,
        backfill={"chunk": "50kB", "rows_per_second": 300},
    )
    compared = kills = sampled = 0
    for number in rounds():
        with PageWriters(database.dsn, seed + number):
            for _ in range(3):
                daemon.start()
                until(lambda: daemon.status().get("backfill"), 60, "it follows")
                until_ = time.monotonic() + chosen.uniform(0.5, 2)
                while time.monotonic() < until_:
                    sampled += sample(rest)
                daemon.kill()
                kills += 1
            daemon.start()
            daemon.wait_until("streaming", 120)
        daemon.catch_up(90)
        query = {"pages": "select id::text, to_jsonb(page) from page"}
        compared += assert_equal(database.dsn, rest, query)
        assert daemon.terminate() == 0
    with capsys.disabled():
        print(  # noqa: T201 - property tests say what they did
            f"\n[seed {seed}: {kills} kills, {compared} compared, {sampled} sampled]",
            file=sys.stderr,
        )


def fill(connection: psycopg.Connection) -> None:
    """More rows than a daemon remembers then."""
    connection.execute(f"insert into page select i, 0, {LARGE} from generate_series(2, {MANY}) i")
    connection.execute("update page set body = body || '|0'")


def has_said(daemon: RunningDaemon, event: str, times: int) -> bool:
    """Whether it has logged that so often by now."""
    return len(daemon.events(event)) >= times


def is_idle(daemon: RunningDaemon) -> bool:
    """Whether nothing is loaded any more."""
    status = daemon.status()
    return status.get("state") == "streaming" and status["backfill"]["loads"] == []


def test_a_commit_that_leaves_out_more_than_is_remembered(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Rows are read again beside the stream, in place; what comes meanwhile and after is right."""
    fill(connection)
    slowly = {"chunk": "100kB", "rows_per_second": 100}
    lengths = {"from": "page", "fields": {"n": None, "l": {"expression": "length(body)"}}}
    daemon = start_daemon({**PAGES, "lengths": lengths}, start=False, backfill=slowly)
    daemon.start(remember_few)
    daemon.wait_until("streaming")
    pid = daemon.pid
    connection.execute("update page set n = n + 1")
    until(lambda: daemon.events("rows_read_again"), 30, "it is more than it remembers")
    connection.execute("update page set n = n + 1 where id % 40 = 0")
    connection.execute(f"update page set n = n + 1000, body = {LARGE} || '|1' where id % 3 = 0")
    connection.execute("delete from page where id % 7 = 0")
    until(lambda: sample(rest) and daemon.events("repaired"), 60, "all rows are read again")
    until(lambda: is_idle(daemon), 30, "nothing is loaded")
    connection.execute("update page set n = n + 1 where id <= 9")
    daemon.catch_up()
    (again,) = daemon.events("rows_read_again")
    assert (again["table"], again["why"][:22]) == ("public.page", f"more than {FEW} documents")
    assert not daemon.events("schema_changed")
    expected = "select id::text, jsonb_build_object('n', n, 'l', length(body)) from page"
    assert assert_equal(database.dsn, rest, {**PAGES_EXPECTED, "lengths": expected})
    assert daemon.pid == pid
    assert not daemon.total("cdc_dead_letters_total")
    assert not daemon.total("cdc_schema_changes_total")


def test_a_joined_read_model_of_a_table_that_is_read_again(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Its state has had the very commit already: it is made anew, and shows it all the same."""
    fill(connection)
    connection.execute("create table shelf (id int primary key, name text)")
    connection.execute("insert into shelf select i, 'a' || i from generate_series(1, 250) i")
    embedded = {"shelf": {"one": "shelf", "on": {"id": "id"}, "fields": ["name"]}}
    placed = {"from": "page", "fields": ["n", "body"], "embed": embedded}
    daemon = start_daemon({**PAGES, "placed": placed}, start=False)
    daemon.start(remember_few)
    daemon.wait_until("streaming")
    with connection.transaction():
        connection.execute("update shelf set name = 'b' || id where id % 2 = 0")
        connection.execute("update page set n = n + 1")
        connection.execute("delete from page where id % 7 = 0")
    until(lambda: has_said(daemon, "rows_read_again", 1), 30, "it is more than it remembers")
    connection.execute("update shelf set name = 'c' || id where id % 3 = 0")
    connection.execute("update page set n = n + 1 where id % 40 = 0")
    until(lambda: has_said(daemon, "repaired", 1) and is_idle(daemon), 60, "all is read again")
    daemon.catch_up()
    query = (
        "select page.id::text, jsonb_build_object('n', n, 'body', body, 'shelf',"
        " jsonb_build_object('name', name)) from page join shelf using (id)"
    )
    assert assert_equal(database.dsn, rest, {**PAGES_EXPECTED, "placed": query})


def test_kills_where_more_is_left_out_than_is_remembered(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """As soon as it is noticed, and while rows are read again; with a backlog of small commits."""
    fill(connection)
    slowly = {"chunk": "100kB", "rows_per_second": 100}
    daemon = start_daemon(PAGES, start=False, backfill=slowly)
    daemon.start(remember_few)
    daemon.wait_until("streaming")
    for moment in ("rows_read_again", "loading"):
        known = len(daemon.events(moment))
        connection.execute("update page set n = n + 1")
        until(partial(has_said, daemon, moment, known + 1), 60, moment)
        sample(rest)
        daemon.kill()
        for key in range(1, 3 * FEW):
            connection.execute("update page set n = n + 1 where id = %s", [key])
        change = (
            f"update page set n = n / 1000 * 1000 + 1000, body = {LARGE} || '|' || n / 1000 + 1"
        )
        connection.execute(f"{change} where id % 3 = 0")
        daemon.start(remember_few)
        until(lambda: sample(rest) and is_idle(daemon), 90, "it goes on by itself")
    daemon.catch_up()
    until(lambda: is_idle(daemon), 60, "nothing is loaded")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, PAGES_EXPECTED) == MANY
    assert daemon.terminate() == 0


def sample(rest: Rest) -> int:
    """`n` is a multiple of a thousand above what the body says, but for updates of `n` alone."""
    try:
        found = documents(rest, "pages")
    except (Refused, OSError):
        return 0
    for _, document in found.values():
        said = int(document["body"].rpartition("|")[2] or 0)
        assert int(document["n"].text) // 1000 == said, "a document of two moments"
    return len(found)


class PageWriters(threading.Thread):
    """Updates of `n` alone, and of `n` with the body; keys move, rows come and go."""

    def __init__(self, dsn: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._dsn = dsn
        self._random = random.Random(seed)
        self._stop_asked = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join(30)

    def run(self) -> None:
        """Write until asked to stop."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute("update page set n = 0, body = body || '|0' where body !~ '[|]'")
            while not self._stop_asked.wait(0.005):
                key, other = self._random.sample(range(1, 401), 2)
                action = self._random.random()
                if action < 0.6:
                    connection.execute(
                        "update page set n = n / 1000 * 1000 + (n + 1) %% 1000 where id %% 50 = %s",
                        [key % 50],
                    )
                elif action < 0.8:
                    connection.execute(
                        f"update page set n = n / 1000 * 1000 + 1000, body = {LARGE} || '|' ||"
                        " (n / 1000 + 1) where id = %s",
                        [key],
                    )
                elif action < 0.9:
                    connection.execute(
                        "update page set id = %s where id = %s"
                        " and not exists (select from page where id = %s)",
                        [other + 1000, key, other + 1000],
                    )
                else:
                    connection.execute("delete from page where id = %s", [key])
                    connection.execute(
                        f"insert into page values (%s, 0, {LARGE} || '|0') on conflict do nothing",
                        [key],
                    )


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
