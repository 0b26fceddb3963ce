"""Which statements change the shape of a table so that documents are others, on a real server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.shapes import altered
from connectors.postgres.catalog import leaf_partitions, list_tables
from connectors.postgres.membership import memberships
from connectors.postgres.publishedshapes import PublishedShapeReader
from connectors.postgres.shapes import PostgresShapeReader
from tests.generators import by_hand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Shape
    from tests.conftest import Database

TABLES = """
create type mood as enum ('sad', 'happy');
create type size as (width int, height int);
create domain short as varchar(10);
create table item (
  id int primary key, n int not null, name varchar(10), note short, mood mood, moods mood[],
  size size, unmapped text);
insert into item
  select i, i, i, i, 'sad', '{sad}', row(i, i)::size, i from generate_series(1, 100) i;
create table parted (id int primary key, n int) partition by range (id);
create table parted_1 partition of parted for values from (0) to (100);
create table parted_2 partition of parted for values from (100) to (200);
insert into parted select i, i from generate_series(1, 150) i;
create table parted_3 (id int primary key, n int);
insert into parted_3 values (250, 1);
"""
MAPPED = ("id", "n", "name", "note", "mood", "moods", "size")


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A database with two tables."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute(TABLES)
        yield opened


@pytest.fixture
def reader(database: Database) -> Iterator[PostgresShapeReader]:
    """What is tested."""
    made = PostgresShapeReader(database.dsn, "test", lambda: None)
    yield made
    made.close()


def shape(reader: PostgresShapeReader, table: str) -> Shape:
    """What it looks like now."""
    return reader.read([table])[f"public.{table}"]


@pytest.mark.parametrize(
    "statement",
    [
        "analyze item",
        "vacuum (freeze) item",
        "vacuum full item",
        "cluster item using item_pkey",
        "truncate item",
        "alter table item add later int",
        "alter table item alter n set default 7",
        "alter table item alter name set not null",
        "alter table item alter name set statistics 10",
        "alter table item alter name type varchar(20)",
        "grant select (name) on item to public",
        "alter table item rename unmapped to other",
        "alter table item drop unmapped",
        "alter table item alter unmapped type int using 1",
        "create index on item (n)",
        "vacuum full pg_attribute",
        "vacuum full pg_enum",
        "create table parted_4 partition of parted for values from (300) to (400)",
        "insert into parted values (151, 1)",
        "analyze parted",
        "vacuum parted",
        "vacuum full pg_inherits /* of parted */",
    ],
)
def test_what_alters_no_value(
    connection: psycopg.Connection, reader: PostgresShapeReader, statement: str
) -> None:
    """No row is read again for it."""
    table = "parted" if "parted" in statement else "item"
    before = shape(reader, table)
    connection.execute(statement.encode())
    assert altered(before, shape(reader, table), (*MAPPED, "later")) is None


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("alter table item alter n type int using n + 1", "n was rewritten"),
        ("alter table item alter n type bigint", "n is of another type"),
        ("alter table item alter name type text", "name is of another type"),
        ("alter table item alter name type varchar(1) using left(name, 1)", "name was rewritten"),
        ("alter table item drop n, add n int", "n is new"),
        ("alter table item rename n to m; alter table item rename unmapped to n", "n was renamed"),
        ("alter table item rename unmapped to later", "later was renamed"),
        ("alter table item add later int default 5", "later was added with values"),
        ("alter table item add later int default 5; vacuum full item", "later was added with"),
        ("alter table item add later float default random()", "later was added with values"),
        ("alter type mood rename value 'sad' to 'blue'", "mood is of another type"),
        ("alter type mood add value 'so-so' before 'happy'", "mood is of another type"),
        (
            (
                "alter type mood rename value 'sad' to 'blue'; "
                "alter type mood rename value 'blue' to 'sad'"
            ),
            "mood is of another type",
        ),
        ("alter type size add attribute depth int", "size is of another type"),
        (
            (
                "alter type size rename attribute width to w; "
                "alter type size rename attribute w to width"
            ),
            "size is of another type",
        ),
        ("alter type size rename attribute width to w", "size is of another type"),
        ("drop table item; create table item (id int primary key, n int)", "another table"),
        ("alter table item replica identity full", "replica identity"),
        ("alter table item drop constraint item_pkey, add primary key (n)", "its key"),
        ("alter table item set unlogged", "its kind"),
        ("truncate parted_1", "truncated"),
        ("vacuum full parted_1", "rewritten"),
        ("drop table parted_1", "dropped"),
        ("alter table parted detach partition parted_1", "detached"),
        ("alter table parted detach partition parted_1 concurrently", "detached"),
        (
            "alter table parted attach partition parted_3 for values from (200) to (300)",
            "with rows was attached",
        ),
        (
            (
                "alter table parted detach partition parted_1; update parted_1 set n = 0; "
                "alter table parted attach partition parted_1 for values from (0) to (100)"
            ),
            "was detached and attached",
        ),
        ("alter table parted add later int default 5", "later was added with values"),
        ("alter table parted alter n type int using n + 1", "rewritten"),
    ],
)
def test_what_alters_values_or_whole_rows(
    connection: psycopg.Connection, reader: PostgresShapeReader, statement: str, why: str
) -> None:
    """All rows are to be read again, and the words say why."""
    table = "parted" if "parted" in statement else "item"
    before = shape(reader, table)
    for part in statement.split("; "):
        connection.execute(part.encode())
    assert why in str(altered(before, shape(reader, table), (*MAPPED, "later")))


def test_a_partition_that_is_being_detached_is_gone(
    database: Database, connection: psycopg.Connection, reader: PostgresShapeReader
) -> None:
    """Its rows are for nobody any more, although the statement still waits for readers."""
    before = shape(reader, "parted")
    with psycopg.connect(database.dsn) as busy:
        busy.execute("select * from parted")
        connection.execute("set statement_timeout = '1s'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("alter table parted detach partition parted_1 concurrently")
        now = shape(reader, "parted")
        tables = [table for table in list_tables(connection) if table.name == "parted"]
        leaves = leaf_partitions(connection, tables, list_tables(connection))
    assert "detached" in str(altered(before, now, MAPPED))
    assert [[leaf.name for leaf in some] for some in leaves.values()] == [["parted_2"]]


def test_a_table_that_is_gone_has_no_shape(
    connection: psycopg.Connection, reader: PostgresShapeReader
) -> None:
    """Dropped, or renamed."""
    connection.execute("alter table item rename to thing")
    assert set(reader.read(["item", "public.thing", "nowhere.item"])) == {"public.thing"}


def test_a_look_at_ten_tables_is_cheap(
    connection: psycopg.Connection, reader: PostgresShapeReader
) -> None:
    """It is taken once a second, so it takes milliseconds."""
    names = [f"wide_{number}" for number in range(10)]
    columns = ", ".join(f"c{number} int" for number in range(20))
    for name in names:
        connection.execute(f"create table {name} (id int primary key, {columns})")
    reader.read(names)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        assert len(reader.read(names)) == 10
        took.append(time.perf_counter() - began)
    print(f"{min(took) * 1000:.1f} to {max(took) * 1000:.1f} ms")  # noqa: T201 - shown with -s
    assert min(took) < 0.05


def test_who_looks_at_published_tables_sees_them_leave_and_come_again(
    connection: psycopg.Connection, database: Database
) -> None:
    """What a member is called is what the source said at its start; no publication, no member."""
    reader = PublishedShapeReader(database.dsn, "test", "pub", lambda: None, lambda: False)
    relations = [by_hand.table("id", name=name) for name in ("item", "parted", "gone")]
    looks = []
    for statement in (
        "select",
        "create publication pub for table item, parted",
        "vacuum item",
        "alter publication pub drop table item",
        "alter publication pub add table item",
        "vacuum (freeze) pg_publication",
        "vacuum full pg_publication",
        "alter publication pub set (publish = 'insert')",
        "alter publication pub set (publish = 'insert, update, delete, truncate')",
        "alter publication pub set (publish_via_partition_root = true)",
        "drop publication pub",
    ):
        connection.execute(statement.encode())
        looks.append(reader.memberships(relations))
        assert looks[-1] == memberships(connection, "pub", relations)
    reader.close()
    before, made, same, out, again, frozen, full, inserts, all_of_it, via_root, dropped = looks
    assert (before, dropped) == ({}, {})
    assert made == same
    assert made.keys() == {"public.item", "public.parted"}
    assert len({made["public.item"], out["public.item"], again["public.item"]}) == 3
    assert {one["public.parted"] for one in (made, out, again)} == {made["public.parted"]}
    assert again == frozen == full
    for table in ("public.item", "public.parted"):
        altered = {one[table] for one in (full, inserts, all_of_it, via_root)}
        assert len(altered) == 4, "also where it is altered back"
