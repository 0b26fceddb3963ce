"""Tables are divided into chunks, and the chunks together are the table, each row once."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from hashlib import md5
from itertools import pairwise
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from cdc_daemon.errors import RetryError, RewrittenError, SourceError
from cdc_daemon.events import PartlyUnreadable, Unreadable
from cdc_daemon.ports import TableRequest
from tests.generators.budget import rounds, seeded
from tests.generators.existing_rows import planned, rows_of
from tests.integration.postgres.conftest import (
    Connection,
    MakeRole,
    MakeSource,
    describe,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from cdc_daemon.events import Row
    from connectors.postgres import PostgresSource
    from connectors.postgres.chunkreader import PostgresChunkReader
    from tests.conftest import Database


def numbers(rows: Sequence[Row]) -> list[int]:
    """The first column, sorted."""
    return sorted(int(row[0]) for row in rows if isinstance(row[0], bytes))


@pytest.mark.usefixtures("small_chunks")
def test_chunks_make_up_a_table(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """They follow one another without a gap, and hold every row exactly once."""
    connection.execute("create table item (id int primary key, name text)")
    connection.execute("insert into item select i, 'name ' || i from generate_series(1, 20000) i")
    (item,) = describe(source, "item")
    plan = planned(source, item)
    assert len(plan) > 10
    assert plan[0].first == (0, 0)
    assert all(one.end == other.first for one, other in pairwise(plan))
    rows = rows_of(reader, item, plan)
    assert numbers(rows) == list(range(1, 20001))
    assert [b"7", b'"name 7"'] in rows


def test_an_empty_table_has_no_chunks(source: PostgresSource, connection: Connection) -> None:
    """Rows that come later are streamed."""
    connection.execute("create table item (id int primary key)")
    (item,) = describe(source, "item")
    assert planned(source, item) == []


def test_one_row_is_one_chunk(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """A table of one block, never analysed; all columns are read, in the relation's order."""
    connection.execute('create table "My ""item" (id int primary key, "the name" text, no int)')
    connection.execute("""insert into "My ""item" values (1, 'a\tb', null)""")
    (item,) = describe(source, 'My "item')
    (chunk,) = planned(source, item)
    assert (chunk.table, chunk.first, chunk.end) == ('"public"."My ""item"', (0, 0), (1, 0))
    got = reader.read(item, chunk)
    assert (got.chunk, got.rows, got.rest) == (chunk, [[b"1", b'"a\\tb"', b"null"]], None)
    assert got.size_bytes == len("1\ta\\tb\t\\N\t(0,1)\n")


def test_rows_behind_the_plan_are_left_to_the_stream(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """The last chunk ends where the table ended; one without an end reads whatever is there."""
    connection.execute("create table item (id int primary key, name text)")
    connection.execute("insert into item values (1, repeat('x', 2000))")
    (item,) = describe(source, "item")
    (chunk,) = planned(source, item)
    insert = "insert into item select i, repeat('x', 2000) from generate_series(2, 20) i"
    connection.execute(insert)
    read = numbers(reader.read(item, chunk).rows)
    assert read == list(range(1, len(read) + 1))
    assert len(read) < 10
    assert numbers(reader.read(item, replace(chunk, end=None)).rows) == list(range(1, 21))


def test_partitions_of_partitions_are_read_one_by_one(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """Each chunk is a part of a table that holds rows, whatever the order of its columns is."""
    connection.execute(TREE)
    connection.execute("insert into item select i, 'name ' || i from generate_series(0, 299) i")
    (item,) = describe(source, "item")
    plan = planned(source, item)
    assert {chunk.table for chunk in plan} == {
        *('"public"."low"', '"public"."middle_0"', '"other"."Middle 1"', '"public"."rest"'),
    }
    rows = rows_of(reader, item, plan)
    assert sorted(rows) == sorted([str(i).encode(), f'"name {i}"'.encode()] for i in range(300))


TREE = """
create table item (id int primary key, name text) partition by range (id);
create table low partition of item for values from (0) to (100);
create table middle partition of item for values from (100) to (200) partition by hash (id);
create table middle_0 partition of middle for values with (modulus 2, remainder 0);
create schema other;
create table other."Middle 1" (gone int, name text, id int not null);
alter table other."Middle 1" drop column gone;
alter table middle attach partition other."Middle 1" for values with (modulus 2, remainder 1);
create table rest partition of item default;
create table empty partition of item for values from (1000) to (2000);
"""


def test_a_partition_that_is_dropped_is_planned_anew(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """Old partitions go at any time: the new plan is without them."""
    connection.execute(TREE)
    connection.execute("insert into item select i, '' from generate_series(0, 299) i")
    (item,) = describe(source, "item")
    plan = planned(source, item)
    connection.execute("drop table low")
    with pytest.raises(RewrittenError, match="low"):
        rows_of(reader, item, plan)
    assert numbers(rows_of(reader, item, planned(source, item))) == list(range(100, 300))


def test_children_that_inherit_are_other_tables(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """Their rows are not among the parent's."""
    connection.execute("create table item (id int primary key)")
    connection.execute("create table child () inherits (item)")
    connection.execute("insert into item values (1); insert into child values (2)")
    (item,) = describe(source, "item")
    assert rows_of(reader, item, planned(source, item)) == [[b"1"]]


def test_a_table_that_is_gone_is_planned_once_it_is_there_again(
    source: PostgresSource, connection: Connection
) -> None:
    """Somebody makes it anew in two steps; if it stays away the look at the catalog says so."""
    connection.execute("create table item (id int primary key)")
    (item,) = describe(source, "item")
    connection.execute("drop table item")
    with pytest.raises(RetryError, match=r"public\.item is away"):
        planned(source, item)
    connection.execute("create table item (id int primary key); insert into item values (1)")
    assert len(planned(source, item)) == 1


def test_every_partition_that_cannot_be_read_is_named(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """Partitions are read by themselves: the SQL that allows it is quoted, and is all it takes."""
    connection.execute(TREE)
    connection.execute("insert into item select i, '' from generate_series(0, 299) i")
    name, dsn = make_role()
    role = sql.Identifier(name)
    connection.execute(sql.SQL("grant select on item, low, rest to {}").format(role))
    source = make_source(dsn)
    (item,) = describe(source, "item")
    with pytest.raises(SourceError) as caught:
        planned(source, item)
    grants = [line.partition("Run: ")[2] for line in str(caught.value).splitlines()]
    assert [grant.partition(" to ")[0] for grant in grants] == [
        'grant select on "public"."empty"',
        'grant select on "public"."middle_0"',
        'grant usage on schema "other"',
        'grant select on "other"."Middle 1"',
    ]
    for grant in grants:
        connection.execute(grant.encode())
    with closing(source.chunk_reader()) as reader:
        assert len(rows_of(reader, item, planned(source, item))) == 300


def test_partitions_without_changes_are_refused(
    source: PostgresSource, connection: Connection
) -> None:
    """One that is unlogged isn't streamed, so what is read of it would stay as it is."""
    connection.execute(TREE)
    connection.execute("alter table low set unlogged")
    (item,) = describe(source, "item")
    with pytest.raises(SourceError, match=r"alter table public\.low set logged"):
        planned(source, item)


def test_hidden_rows_are_an_error(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """Row security stops the plan, and the reading where it comes later; never are rows missing."""
    connection.execute("create table item (id int primary key); insert into item values (1), (2)")
    name, dsn = make_role()
    connection.execute(sql.SQL("grant select on item to {}").format(sql.Identifier(name)))
    source = make_source(dsn)
    (item,) = describe(source, "item")
    (chunk,) = planned(source, item)
    connection.execute("create policy first on item using (id = 1)")
    connection.execute("alter table item enable row level security")
    mend = f'alter role "{name}" bypassrls'
    with pytest.raises(SourceError, match=mend):
        planned(source, item)
    with closing(source.chunk_reader()) as reader:
        with pytest.raises(SourceError, match="row-level security"):
            reader.read(item, chunk)
        connection.execute(mend.encode())
        assert len(reader.read(item, chunk).rows) == 2


def test_columns_that_may_be_read_suffice(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """A role with rights on the mapped columns can't lock the table; it needs that on places."""
    connection.execute("create table item (id int primary key, name text, secret text)")
    connection.execute("insert into item values (1, 'a', 'b')")
    name, dsn = make_role()
    role = sql.Identifier(name)
    connection.execute(sql.SQL("grant select (id, name) on item to {}").format(role))
    source = make_source(dsn)
    (item,) = source.describe([TableRequest("item", ("id", "name"))])
    with pytest.raises(SourceError, match="places") as caught:
        planned(source, item)
    connection.execute(str(caught.value).partition("Run: ")[2].encode())
    with closing(source.chunk_reader()) as reader:
        assert rows_of(reader, item, planned(source, item)) == [[b"1", b'"a"']]


def test_a_relation_without_columns_has_rows(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """A read model of constants reads none of the columns."""
    connection.execute("create table item (id int primary key); insert into item values (1), (2)")
    (item,) = describe(source, "item")
    plan = planned(source, item)
    assert rows_of(reader, replace(item, columns=()), plan) == [[], []]


def test_values_that_cannot_be_read_mark_their_chunk(
    database: Database,
    source: PostgresSource,
    reader: PostgresChunkReader,
    connection: Connection,
) -> None:
    """The row holds what is wrong with it, and its place is gone as ever."""
    connection.execute("create table item (id int primary key, name text)")
    encoded = "update pg_database set encoding = pg_char_to_encoding(%s) where datname = %s"
    connection.execute(encoded, ["SQL_ASCII", database.name])
    with psycopg.connect(database.dsn, client_encoding="SQL_ASCII") as careless:
        careless.execute(b"insert into item values (1, 'good'), (2, E'\\xff')")
    connection.execute(encoded, ["UTF8", database.name])
    (item,) = describe(source, "item")
    rows = reader.read(item, planned(source, item)[0]).rows
    assert isinstance(rows, PartlyUnreadable)
    assert rows[0] == [b"1", b'"good"']
    assert isinstance(rows[1][1], Unreadable)
    assert len(rows[1]) == 2


@pytest.mark.usefixtures("small_chunks")
def test_random_tables_are_read_whole(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """Holes, dead rows, updates, large values, few or many rows to a block: each row once."""
    seed, rng = seeded()
    for number in rounds():
        connection.execute(f"drop table if exists item; {random_table(rng)}")
        for statement in random_history(rng):
            connection.execute(statement.encode())
        (item,) = describe(source, "item")
        rows = rows_of(reader, item, planned(source, item))
        expected = connection.execute(
            """select id, md5('"' || name || '"') from item order by id"""
        ).fetchall()
        assert sorted(map(digest, rows)) == expected, f"seed {seed}, table {number}"


def digest(row: Row) -> tuple[int, str | None]:
    """The key, and of the name as little as tells it from others."""
    key, name = row
    assert isinstance(key, bytes)
    assert isinstance(name, bytes)
    return int(key), None if name == b"null" else md5(name, usedforsecurity=False).hexdigest()


def random_table(rng: Random) -> str:
    """A table that isn't partitioned, or is, with some way of storing what is large."""
    fill = rng.choice([10, 50, 100])
    storage = rng.choice(["main", "external", "extended"])
    columns = "(id int primary key, name text)"
    if rng.random() < 0.5:
        return (
            f"create table item {columns} with (fillfactor = {fill}); "
            f"alter table item alter name set storage {storage}"
        )
    modulus = rng.randint(1, 3)
    parts = "; ".join(
        f"create table item_{part} partition of item for values "
        f"with (modulus {modulus}, remainder {part}) with (fillfactor = {fill})"
        for part in range(modulus)
    )
    return f"create table item {columns} partition by hash (id); {parts}"


def random_history(rng: Random) -> Iterator[str]:
    """What is done to the table: rows come, change and go, and space is made in between."""
    highest = 0
    for _ in range(rng.randint(1, 6)):
        first, share = highest, rng.randint(2, 9)
        highest += rng.choice([1, 10, 200, 2000])
        length = rng.choice([0, 5, 100, 1500])
        text = f"repeat(md5(i::text), i % {length + 1} / 32 + 1)"
        if rng.random() < 0.1:
            text, highest = "repeat(md5(i::text), 3000)", min(highest, first + 60)
        if rng.random() < 0.3:
            text = f"case when i % 3 > 0 then {text} end"
        yield f"insert into item select i, {text} from generate_series({first}, {highest - 1}) i"
        yield rng.choice(
            [
                f"delete from item where id % {share} = 0",
                f"delete from item where id > {rng.randint(0, highest)}",
                f"update item set name = name || 'x' where id % {share} = 0",
                f"update item set id = -id where id % {share} = 1 and id > 0",
                "select",
            ]
        )
        yield rng.choice(["vacuum item", "analyze item", "vacuum full item", "select", "select"])
