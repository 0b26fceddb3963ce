"""Rows by a condition that somebody asks for: read by a real server, which says what is wrong."""

from __future__ import annotations

import re
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import (
    ConditionError,
    RetryError,
    RewrittenError,
    SchemaChangedError,
    SourceError,
)
from connectors.postgres import cancellations
from connectors.postgres.cancellations import MOST_CANCELLED, MOST_CANCELLED_SOON
from tests.generators.existing_rows import planned
from tests.integration.postgres.conftest import describe

if TYPE_CHECKING:
    from cdc_daemon.events import Chunk, Relation
    from connectors.postgres import PostgresSource
    from connectors.postgres.chunkreader import PostgresChunkReader
    from tests.integration.postgres.conftest import Connection


@pytest.fixture
def item(connection: Connection, source: PostgresSource) -> Relation:
    """A partitioned table, each partition with another order of columns."""
    connection.execute("create table item (id int, name text, n int) partition by list (n)")
    connection.execute("create table item_1 partition of item for values in (1)")
    connection.execute("create table item_2 (n int, name text, id int)")
    connection.execute("alter table item attach partition item_2 for values in (2)")
    connection.execute("alter table item add primary key (id, n)")
    connection.execute(
        "insert into item select i, 'name ' || i, i % 2 + 1 from generate_series(1, 40) i"
    )
    return describe(source, "item")[0]


def ids(
    source: PostgresSource, reader: PostgresChunkReader, item: Relation, where: str
) -> set[int]:
    """What is read by it."""
    reader.check(item, where)
    reads = [reader.read(item, chunk, where) for chunk in planned(source, item)]
    return {int(row[item.index_of("id")]) for read in reads for row in read.rows}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("id <= 3", {1, 2, 3}),
        ("item.id = 7 or name = 'name 8'", {7, 8}),
        ("id < 10 and n = (select max(n) from item)", {1, 3, 5, 7, 9}),
        ("name ~ '^name 1\\d$' and id > 17", {18, 19}),
        ("null", set()),
        ("case when id = 4 then true end", {4}),
        ("true", set(range(1, 41))),
    ],
)
def test_rows_that_meet_a_condition_are_read(
    source: PostgresSource,
    reader: PostgresChunkReader,
    item: Relation,
    where: str,
    found: set[int],
) -> None:
    """Of every partition; the table goes by its own name."""
    assert ids(source, reader, item, where) == found


def test_rows_that_an_index_finds_are_read_in_the_order_of_their_places(
    source: PostgresSource, connection: Connection
) -> None:
    """Where a chunk ends early the rest begins behind its last row, and nothing is left out."""
    connection.execute("create table big (id int primary key, name text)")
    connection.execute(
        "insert into big select i, repeat('x', 25000) from generate_series(2000, 1, -1) i"
    )
    connection.execute("analyze big")
    (big,) = describe(source, "big")
    with closing(source.chunk_reader(200_000)) as reader:
        chunks = reader.plan(big)
        cut, found = 0, list[int]()
        while chunks:
            read = reader.read(big, chunks.pop(0), "id <= 50")
            found += [int(row[0]) for row in read.rows]  # type: ignore[arg-type]
            if read.rest is not None:
                chunks.insert(0, read.rest)
                cut += 1
    assert (found, cut) == (list(range(50, 0, -1)), 1)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("idd = 1", 'column "idd" does not exist'),
        ("public.item.id = 1", "invalid reference to FROM-clause entry"),
        ("id", "must be type boolean, not type integer"),
        ("id = 'x'", "invalid input syntax for type integer"),
        ("count(*) > 1", "aggregate functions are not allowed in WHERE"),
        ("id = 1 order by id", "syntax error"),
        ("id =", "syntax error"),
        ("1 / 0 = 1", "division by zero"),
        ("true) or (true", "parentheses"),
    ],
)
def test_the_server_says_what_is_wrong(
    reader: PostgresChunkReader, item: Relation, where: str, said: str
) -> None:
    """Before any row is read; the connection stays usable."""
    with pytest.raises(ConditionError, match=said.replace("(*)", r"\(\*\)")):
        reader.check(item, where)
    reader.check(item, "true")


def test_a_condition_writes_nothing(
    source: PostgresSource, reader: PostgresChunkReader, item: Relation, connection: Connection
) -> None:
    """What it calls runs in a transaction that can't."""
    connection.execute(
        "create function writes() returns boolean language sql volatile"
        " as $$ insert into item values (99, 'written', 1) returning true $$"
    )
    with pytest.raises(SourceError, match="read only sql transaction"):
        ids(source, reader, item, "writes()")
    assert connection.execute("select count(*) from item").fetchone() == (40,)


def test_a_condition_changes_no_sequence_nor_large_object(
    source: PostgresSource,
    reader: PostgresChunkReader,
    item: Relation,
    connection: Connection,
) -> None:
    """A sequence would keep its value; before PostgreSQL 16 an object is made, and undone."""
    connection.execute("create sequence counter")
    with pytest.raises(SourceError, match="read only sql transaction"):
        ids(source, reader, item, "nextval('counter') > 0")
    with suppress(SourceError):
        ids(source, reader, item, "lo_create(0) > 0")
    assert connection.execute("select count(*) from pg_largeobject_metadata").fetchone() == (0,)


@pytest.mark.parametrize(
    "where", ["pg_logical_emit_message(false, 'a', 'b') is not null", "pg_sleep(0) is not null"]
)
def test_a_condition_may_do_what_changes_no_data(
    source: PostgresSource, reader: PostgresChunkReader, item: Relation, where: str
) -> None:
    """The guide says so to who gives the key away."""
    assert len(ids(source, reader, item, where)) == 40


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("1 / (id - 5) > 0", "division by zero (SQLSTATE 22012)"),
        ("name::int > 0", "invalid text representation (SQLSTATE 22P02)"),
        ("name::regclass is not null", "invalid name (SQLSTATE 42602)"),
        ("quote_ident(name)::regclass is not null", "undefined table (SQLSTATE 42P01)"),
        ("quote_ident(name)::regnamespace is not null", "(SQLSTATE 3F000)"),
        ("current_setting(name) = ''", "undefined object (SQLSTATE 42704)"),
        ("set_config('role', name, true) = ''", "(SQLSTATE 22"),
        ("says(name, 'P0001')", "raise exception (SQLSTATE P0001)"),
        ("says(name, '42P01')", "undefined table (SQLSTATE 42P01)"),
        ("says(name, '42501')", "insufficient privilege (SQLSTATE 42501)"),
        ("says(name, '53200')", "out of memory (SQLSTATE 53200)"),
        ("says(name, '58030')", "(SQLSTATE 58030)"),
        ("says(name, '57014')", "was cut off"),
        ("deep(n)", "statement too complex (SQLSTATE 54001)"),
    ],
)
def test_a_condition_that_fails_for_a_row_stops_the_reading(
    source: PostgresSource,
    reader: PostgresChunkReader,
    item: Relation,
    connection: Connection,
    where: str,
    said: str,
) -> None:
    """It would fail again and again. Told is what has failed, and no value of a row: what the
    server says of it has them, whatever rule protects the column.
    """  # noqa: D205 - one sentence
    make_says(connection)
    connection.execute(
        "create function deep(n int) returns boolean language plpgsql as "
        "$$ begin perform deep(n); return true; end $$"
    )
    with pytest.raises(SourceError, match=f"by the condition .*{re.escape(said)}") as raised:
        ids(source, reader, item, where)
    for value in ("name 1", "name 2", '"name"'):
        assert value not in str(raised.value)
    assert len(ids(source, reader, item, "true")) == 40


def make_says(connection: Connection) -> None:
    """A function that fails as it is told, and says a value."""
    connection.execute(
        "create function says(name text, code text) returns boolean language plpgsql as "
        "$$ begin raise exception 'of %', name using errcode = code; end $$"
    )


@pytest.mark.parametrize("code", ["40001", "55P03", "57P03"])
def test_what_passes_by_itself_is_tried_again_without_a_value(
    source: PostgresSource,
    reader: PostgresChunkReader,
    item: Relation,
    connection: Connection,
    code: str,
) -> None:
    """Also where it is a function that says it."""
    make_says(connection)
    with pytest.raises(RetryError, match=f"SQLSTATE {code}") as raised:
        ids(source, reader, item, f"says(name, '{code}')")
    assert "name " not in str(raised.value)


def test_who_is_cancelled_again_and_again_while_a_condition_is_slow_is_told(
    source: PostgresSource,
    reader: PostgresChunkReader,
    item: Relation,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each chunk counts by itself, and anew once it was read; without being slow it is chance."""
    make_says(connection)
    chunk, other = planned(source, item)
    where = "says(name, '40001')"

    def cancelled(chunk: Chunk, times: int) -> None:
        for _ in range(times):
            with pytest.raises(RetryError, match="SQLSTATE 40001"):
                reader.read(item, chunk, where)

    cancelled(chunk, MOST_CANCELLED)
    monkeypatch.setattr(cancellations, "SLOW_SECONDS", 0.0)
    cancelled(chunk, MOST_CANCELLED - 1)
    reader.read(item, chunk, "true")
    cancelled(other, MOST_CANCELLED - 1)
    cancelled(chunk, MOST_CANCELLED - 1)
    with pytest.raises(SourceError, match="cancelled 5 times in a row"):
        reader.read(item, chunk, where)
    monkeypatch.undo()
    cancelled(chunk, MOST_CANCELLED_SOON - 1)  # of another repair
    with pytest.raises(SourceError, match="cancelled 20 times in a row"):
        reader.read(item, chunk, where)


def test_a_connection_that_is_ended_is_not_the_fault_of_a_condition(
    source: PostgresSource, reader: PostgresChunkReader, item: Relation
) -> None:
    """While it is read by: the rows are read again by another one."""
    chunk = planned(source, item)[0]
    with pytest.raises(RetryError, match="terminating connection"):
        reader.read(item, chunk, "pg_terminate_backend(pg_backend_pid())")
    assert len(reader.read(item, chunk, "true").rows) == 20


@pytest.mark.parametrize(
    ("where", "change", "said"),
    [
        ("id in (select id from wanted)", "drop table wanted", 'relation "wanted" does not exist'),
        ("note is null", "alter table item drop column note", 'column "note" does not exist'),
        ("aside.wanted()", "drop schema aside cascade", 'schema "aside" does not exist'),
    ],
)
def test_what_a_condition_names_may_be_gone(
    reader: PostgresChunkReader,
    source: PostgresSource,
    connection: Connection,
    where: str,
    change: str,
    said: str,
) -> None:
    """Reading stops: the table is as planned, and would be planned again for ever."""
    connection.execute("create table item (id int primary key, note text)")
    connection.execute("insert into item values (1)")
    connection.execute("create table wanted (id int); create schema aside")
    connection.execute(
        "create function aside.wanted() returns boolean language sql as 'select true'"
    )
    (item,) = describe(source, "item")
    item = replace(item, columns=item.columns[:1])
    reader.check(item, where)
    (chunk,) = planned(source, item)
    connection.execute(change.encode())
    with pytest.raises(SourceError, match=f"the condition can't be run any more: {said}"):
        reader.read(item, chunk, where)
    assert len(reader.read(item, chunk).rows) == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("drop table item", RewrittenError),
        ("alter table item rename to other", RewrittenError),
        ("alter table item drop column name", SchemaChangedError),
    ],
)
def test_a_table_that_changes_is_not_the_fault_of_the_condition(
    source: PostgresSource,
    reader: PostgresChunkReader,
    connection: Connection,
    change: str,
    error: type[Exception],
) -> None:
    """It is planned anew, or the mapping is compiled anew, as without a condition."""
    connection.execute("create table item (id int primary key, name text)")
    connection.execute("insert into item values (1)")
    (item,) = describe(source, "item")
    (chunk,) = planned(source, item)
    connection.execute(change.encode())
    with pytest.raises(error):
        reader.read(item, chunk, "item.id = 1")


def test_a_condition_that_would_leave_its_parentheses_is_not_read_by(
    source: PostgresSource, reader: PostgresChunkReader, item: Relation
) -> None:
    """It comes from a document, which somebody may have altered since it was checked."""
    (chunk, *_) = planned(source, item)
    with pytest.raises(SourceError, match="parentheses"):
        reader.read(item, chunk, "true) or (true")


def test_a_condition_that_takes_too_long_stops_the_reading(
    source: PostgresSource,
    reader: PostgresChunkReader,
    item: Relation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The source's vacuum horizon is held meanwhile; without a condition nothing limits it."""
    monkeypatch.setattr("connectors.postgres.readfailures.CONDITION_TIMEOUT_SECONDS", 1)
    (chunk, *_) = planned(source, item)
    with pytest.raises(SourceError, match="index or a simpler one"):
        reader.read(item, chunk, "pg_sleep(0.3) is not null")
    assert len(reader.read(item, chunk, "pg_sleep(0) is not null").rows) == 20


def test_a_locked_table_is_asked_for_later(
    reader: PostgresChunkReader,
    item: Relation,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A condition can't be checked while somebody rewrites the table."""
    monkeypatch.setattr(
        "connectors.postgres.chunkreader._SETTINGS", "set local lock_timeout = '50ms'"
    )
    with connection.transaction():
        connection.execute("lock table item in access exclusive mode")
        with pytest.raises(RetryError, match="is locked"):
            reader.check(item, "true")
