"""Generated columns: streamed where the server can, described for computing where it can't."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
import structlog
from psycopg import sql

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.events import Generated
from cdc_daemon.ports import TableRequest
from connectors.postgres.generated import read_generated
from tests.conftest import OF_THE_MACHINE
from tests.generators.existing_rows import existing_rows
from tests.integration.postgres.conftest import (
    Connection,
    MakeRole,
    MakeSource,
    alarms,
    describe,
    one,
    read_commits,
    run_advice,
    start,
    untouched,
)

if TYPE_CHECKING:
    from connectors.postgres import PostgresSource
    from tests.conftest import Database

STREAMED_FROM = 180000
PARTITIONS_DIFFER_FROM = 160000


@pytest.fixture
def streams(connection: Connection) -> bool:
    """Whether the server publishes stored generated columns."""
    return connection.info.server_version >= STREAMED_FROM


@pytest.fixture
def item(connection: Connection) -> None:
    """A table with a stored generated column between others."""
    connection.execute(
        "create table item (id int primary key, n int, "
        "twice int generated always as (n * 2) stored, name text)"
    )


@pytest.mark.usefixtures("item")
def test_stored_ones_are_streamed_or_described(
    connection: Connection, source: PostgresSource, *, streams: bool
) -> None:
    """By the stream as by chunks: in every row, or in none."""
    connection.execute("insert into item values (1, 4, default, 'a')")
    (relation,) = describe(source, "item")
    source.prepare([relation])
    place = source.create_place()
    rows = existing_rows(source, relation)
    source.start([relation], place)
    connection.execute("update item set n = 5")
    (change,) = read_commits(source, 1)
    how = Generated("(n * 2)", ("n",))
    if streams:
        assert [column.name for column in relation.columns] == ["id", "n", "twice", "name"]
        assert relation.columns[2].generated == how
        assert relation.computed == ()
        assert rows == [[b"1", b"4", b"8", b'"a"']]
        assert change.new == [b"1", b"5", b"10", b'"a"']
    else:
        assert [column.name for column in relation.columns] == ["id", "n", "name"]
        assert [(column.name, column.generated) for column in relation.computed] == [("twice", how)]
        assert rows == [[b"1", b"4", b'"a"']]
        assert change.new == [b"1", b"5", b'"a"']


def test_what_is_not_postgresqls_own_shows_its_schema(
    database16: Database, make_source: MakeSource
) -> None:
    """So that nobody takes a function of the same name for PostgreSQL's."""
    with psycopg.connect(database16.dsn, autocommit=True) as connection:
        connection.execute(
            "create function lower(int) returns text immutable language sql as $$ select 'my' $$"
        )
        connection.execute(
            "create table t (id int primary key, low text generated always as (lower(id)) stored)"
        )
    (relation,) = describe(make_source(database16.dsn), "t")
    assert [column.generated for column in relation.computed] == [
        Generated("public.lower(id)", ("id",))
    ]


def test_virtual_ones_are_described(
    connection: Connection, source: PostgresSource, *, streams: bool
) -> None:
    """They are never published; the identity of the table may be its key, but not full."""
    if not streams:
        pytest.skip(f"{OF_THE_MACHINE}there are none before PostgreSQL 18")
    connection.execute(
        "create table t (id int primary key, n int, kind text generated always as "
        "(case when n > 5 then 'large' else E'\\n' end))"
    )
    (relation,) = start(source, "t")
    assert [column.generated for column in relation.computed] == [
        Generated("CASE\n    WHEN (n > 5) THEN 'large'::text\n    ELSE '\n'::text\nEND", ("n",))
    ]
    connection.execute("insert into t values (1, 9)")
    assert [change.new for change in read_commits(source, 1)] == [[b"1", b"9"]]
    connection.execute("create table full_one (like t including all)")
    connection.execute("alter table full_one replica identity full")
    with untouched(connection), pytest.raises(SourceError, match="virtual generated columns"):
        source.prepare(describe(source, "t", "full_one"))


def test_an_identity_with_generated_columns_lets_the_application_write(
    connection: Connection, source: PostgresSource
) -> None:
    """PostgreSQL 18 refuses UPDATE and DELETE where the identity holds what isn't published."""
    connection.execute(
        "create table whole (id int primary key, twice int generated always as (id * 2) stored); "
        "alter table whole replica identity full; insert into whole values (1)"
    )
    connection.execute(
        "create table parted (id int, twice int generated always as (id * 2) stored) "
        "partition by list (id); create table part partition of parted for values in (1, 2); "
        "alter table parted add primary key (id); alter table part replica identity full; "
        "insert into parted values (1)"
    )
    start(source, "whole", "parted")
    for table in ("whole", "parted"):
        connection.execute(f"update {table} set id = 2".encode())
        connection.execute(f"delete from {table}".encode())
    assert len(read_commits(source, 4)) == 4


def test_a_key_that_is_streamed(
    connection: Connection, source: PostgresSource, *, streams: bool
) -> None:
    """Old keys come with it, so that deletes and key changes can be followed."""
    if not streams:
        pytest.skip(f"{OF_THE_MACHINE}none publishes them before PostgreSQL 18")
    connection.execute(
        "create table t (n int, code int generated always as (n * 2) stored primary key)"
    )
    (relation,) = start(source, "t")
    assert [column.in_identity for column in relation.columns] == [False, True]
    for statement in ("insert into t values (1)", "update t set n = 2", "delete from t"):
        connection.execute(statement.encode())
    changes = [(change.old, change.new) for change in read_commits(source, 3)]
    assert changes == [
        (None, [b"1", b"2"]),
        ([b"null", b"2"], [b"2", b"4"]),
        ([b"null", b"4"], None),
    ]


@pytest.mark.usefixtures("item")
def test_a_publication_that_leaves_them_out(
    connection: Connection, make_source: MakeSource, *, streams: bool
) -> None:
    """It is altered, and what had been streamed until then lacks them; or the SQL is printed."""
    if not streams:
        pytest.skip(f"{OF_THE_MACHINE}none publishes them before PostgreSQL 18")
    connection.execute(
        "create publication pub for table only item with (publish_via_partition_root = true)"
    )
    ids = make_source(publication={"manage": False}).describe([TableRequest("item", ("id",))])
    source = make_source(publication={"manage": False})
    source.prepare(ids)
    source.create_place()
    with untouched(connection), pytest.raises(SourceError, match="generated_columns = stored") as e:
        source.prepare(describe(source, "item"))
    assert "drop its slot too" in str(e.value)
    assert "generated_columns = stored" in alarms(source, "item")["publication pub"]
    managing = make_source()
    managing.prepare(describe(managing, "item"))
    assert managing.place() is None
    assert one(connection, "select pubgencols from pg_publication") == "s"


@pytest.mark.usefixtures("item")
def test_a_table_that_joins_with_such_an_identity_keeps_the_slot(
    connection: Connection, source: PostgresSource, *, streams: bool
) -> None:
    """Nothing that was mapped has been left out until then."""
    if not streams:
        pytest.skip(f"{OF_THE_MACHINE}none publishes them before PostgreSQL 18")
    ids = source.describe([TableRequest("item", ("id",))])
    source.prepare(ids)
    source.create_place()
    connection.execute("alter publication pub set (publish_generated_columns = none)")
    connection.execute(
        "create table whole (id int primary key, twice int generated always as (id * 2) stored); "
        "alter table whole replica identity full; insert into whole values (1)"
    )
    source.prepare([*ids, *source.describe([TableRequest("whole", ("id",))])])
    assert source.place() is not None
    connection.execute("update whole set id = 2")


@pytest.fixture
def plain(connection: Connection, *, streams: bool) -> None:
    """A table without generated columns, in a publication that would leave them out."""
    if not streams:
        pytest.skip(f"{OF_THE_MACHINE}none publishes them before PostgreSQL 18")
    connection.execute("create table plain (id int primary key, n int)")
    connection.execute("alter table plain replica identity full; insert into plain values (1, 1)")
    connection.execute(
        "create publication pub for table only plain with (publish_via_partition_root = true)"
    )


@pytest.mark.usefixtures("plain")
def test_columns_that_are_generated_later_are_seen_to_beforehand(
    connection: Connection, make_source: MakeSource
) -> None:
    """The application's UPDATE would fail from then on; the slot stays, nothing was left out."""
    verifying = make_source(publication={"manage": False})
    relations = describe(verifying, "plain")
    verifying.prepare(relations)
    verifying.create_place()
    source = make_source()
    assert "publication pub" not in alarms(source, "plain"), "the next start does it"
    source.prepare(relations)
    assert source.place() is not None
    connection.execute("alter table plain add twice int generated always as (n * 2) stored")
    connection.execute("update plain set n = 2")
    with untouched(connection):
        source.prepare(relations)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("manage", [True, False])
def test_a_publication_of_somebody_else_is_only_warned_about(
    connection: Connection, make_source: MakeSource, make_role: MakeRole, *, manage: bool
) -> None:
    """At each start, and by `check`, with the SQL that mends it."""
    name, dsn = make_role()
    connection.execute(sql.SQL("grant select on plain to {}").format(sql.Identifier(name)))
    source = make_source(dsn, publication={"manage": manage})
    with untouched(connection), structlog.testing.capture_logs() as logs:
        source.prepare(describe(source, "plain"))
    (warned,) = [entry for entry in logs if entry["event"] == "publication_lacks_generated"]
    said = alarms(source, "plain")["publication pub"]
    assert said.startswith("warning: ")
    assert warned["sql"] in said
    run_advice(connection, said)
    assert "publication pub" not in alarms(source, "plain")
    with structlog.testing.capture_logs() as logs:
        source.prepare(describe(source, "plain"))
    assert "publication_lacks_generated" not in {entry["event"] for entry in logs}


def test_partitions_may_generate_in_other_ways(
    connection: Connection, source: PostgresSource
) -> None:
    """Then there is no one expression, and all inputs count."""
    if connection.info.server_version < PARTITIONS_DIFFER_FROM:
        pytest.skip(f"{OF_THE_MACHINE}PostgreSQL lets them from 16 on")
    connection.execute(
        "create table t (id int primary key, a int, b int, "
        "made int generated always as (a * 2) stored) partition by list (id)"
    )
    connection.execute("create table p1 partition of t for values in (1)")
    columns = "id int not null, a int, b int, made int generated always as (b * 3) stored"
    connection.execute(f"create table p2 ({columns})".encode())
    connection.execute("alter table t attach partition p2 for values in (2)")
    (relation,) = describe(source, "t")
    (made,) = [each for each in (*relation.columns, *relation.computed) if each.generated]
    assert made.generated == Generated("", ("a", "b"))


@pytest.mark.usefixtures("item")
def test_a_table_that_is_dropped_while_it_is_looked_at_is_looked_at_again(
    connection: Connection, database: Database
) -> None:
    """The server then has no text of the expression: what it has by now is not what we read."""
    ((oid,),) = connection.execute("select 'item'::regclass::oid::int").fetchall()
    with psycopg.connect(database.dsn) as looking:
        looking.execute("set transaction isolation level repeatable read")
        looking.execute("select")
        assert read_generated(looking, {oid: []})
        connection.execute("drop table item")
        with pytest.raises(RetryError, match="was dropped"):
            read_generated(looking, {oid: []})
