"""The publication follows the mapping, and one that leaves something out is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.errors import NotYetError, RetryError, SourceError
from cdc_daemon.events import ChangeKind
from cdc_daemon.ports import TableRequest
from connectors.postgres import publication
from connectors.postgres.generated import STREAMED_VERSION
from connectors.postgres.membership import memberships
from tests.generators.existing_rows import existing_rows
from tests.integration.postgres.conftest import (
    WAIT_SECONDS,
    Connection,
    MakeSource,
    describe,
    read_commits,
    start,
    untouched,
    wait_until,
    waits_for_a_lock,
)

if TYPE_CHECKING:
    from connectors.postgres import PostgresSource
    from tests.conftest import Database


def members(connection: Connection) -> set[str]:
    """The tables in it."""
    query = "select schemaname || '.' || tablename from pg_publication_tables where pubname = 'pub'"
    return {name for (name,) in connection.execute(query).fetchall()}


def test_new_tables_are_added_and_others_stay(
    connection: Connection, source: PostgresSource
) -> None:
    """Only adding: what no mapping reads any more may be someone else's."""
    connection.execute("create table a (id int primary key)")
    connection.execute('create schema "S"; create table "S"."b.Ü""x" (id int primary key)')
    connection.execute("create table c (id int primary key)")
    source.prepare(describe(source, "a"))
    assert members(connection) == {"public.a"}
    source.prepare(describe(source, "a", 'S.b.Ü"x', "c"))
    assert members(connection) == {"public.a", 'S.b.Ü"x', "public.c"}
    with untouched(connection):
        source.prepare(describe(source, "c"))


def test_tables_of_several_schemas_are_followed(
    connection: Connection, source: PostgresSource
) -> None:
    """Same name, other schema: told apart."""
    connection.execute("create schema s; create table s.t (id int primary key)")
    connection.execute("create table t (id int primary key)")
    public, other = start(source, "public.t", "s.t")
    connection.execute("insert into s.t values (1)")
    connection.execute("insert into t values (2)")
    found = [(change.relation, change.new) for change in read_commits(source, 2)]
    assert found == [(other, [b"1"]), (public, [b"2"])]


def test_an_existing_publication_is_completed(
    connection: Connection, make_source: MakeSource
) -> None:
    """Operations, the root of partitions, and the table: each is missing at first."""
    connection.execute("create table t (id int primary key) partition by list (id)")
    connection.execute("create table p partition of t for values in (1)")
    connection.execute("create table u (id int primary key)")
    connection.execute("create publication pub for table t with (publish = 'insert, delete')")
    verifying = make_source(publication={"manage": False})
    with (
        untouched(connection),
        pytest.raises(SourceError, match="publish_via_partition_root = true"),
    ):
        verifying.prepare(describe(verifying, "t", "u"))
    source = make_source()
    source.prepare(describe(source, "t", "u"))
    verifying.prepare(describe(verifying, "t", "u"))
    start(source, "t", "u")
    connection.execute("insert into t values (1)")
    connection.execute("truncate t, u")
    changes = read_commits(source, 2)
    assert [change.kind for change in changes] == [ChangeKind.INSERT] + [ChangeKind.TRUNCATE] * 2
    assert {change.relation.name for change in changes} == {"t", "u"}


@pytest.mark.parametrize(
    ("what", "says"),
    [("t (id)", "not the mapped columns name"), ("t where (id > 5)", "only rows where .*id > 5")],
)
@pytest.mark.parametrize("manage", [True, False])
def test_publications_that_leave_something_out(
    connection: Connection, make_source: MakeSource, what: str, says: str, *, manage: bool
) -> None:
    """Column lists and row filters would give wrong documents: refused, with the SQL."""
    connection.execute("create table t (id int primary key, name text)")
    connection.execute(f"create publication pub for table {what}".encode())
    source = make_source(publication={"manage": manage})
    with untouched(connection), pytest.raises(SourceError, match=says) as caught:
        source.prepare(describe(source, "t"))
    for statement in str(caught.value).partition("as the owner: ")[2].split("; "):
        connection.execute(statement.encode())
    make_source().prepare(describe(source, "t"))


def test_a_publication_that_is_altered_while_a_start_looks_at_it(
    connection: Connection, source: PostgresSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it leaves out from then on is in no stream: who watches it must find it altered."""
    connection.execute("create table t (id int primary key)")
    relations = describe(source, "t")
    source.prepare(relations)

    def altered(*args: Any) -> dict[str, str]:
        connection.execute("alter publication pub set (publish = 'insert')")
        return memberships(*args)

    monkeypatch.setattr("connectors.postgres.publishing.memberships", altered)
    with pytest.raises(NotYetError, match="was altered while it was looked at"):
        source.prepare(relations)
    monkeypatch.undo()
    assert not source.keeps_place(relations)
    source.prepare(relations)
    assert source.keeps_place(relations)


@pytest.mark.parametrize("columns", ["id, name", "id, name, born"])
def test_a_list_of_columns_that_has_all_that_are_mapped(
    connection: Connection, make_source: MakeSource, columns: str
) -> None:
    """What it leaves out may stand anywhere: a password isn't even sent."""
    connection.execute("create table t (secret text, id int primary key, pin text, name text)")
    connection.execute("alter table t add born date, add salt text")
    connection.execute(f"create publication pub for table t ({columns})".encode())
    source = make_source(publication={"manage": False})
    connection.execute("alter publication pub set (publish_via_partition_root = true)")
    if connection.info.server_version >= STREAMED_VERSION:
        connection.execute("alter publication pub set (publish_generated_columns = stored)")
    relations = source.describe([TableRequest("t", ("id", "name"))])
    source.prepare(relations)
    source.start(relations, source.create_place())
    connection.execute("insert into t values ('s', 1, 'p', 'Ada')")
    connection.execute("update t set name = 'Eve', secret = 'x'")
    changes = read_commits(source, 2)
    assert [change.relation.misfit for change in changes] == [""] * 2
    assert [change.new for change in changes] == [[b"1", b'"Ada"'], [b"1", b'"Eve"']]


def test_a_publication_of_all_tables_is_fine(
    connection: Connection, make_source: MakeSource
) -> None:
    """But not for a partition, which comes as part of its table there."""
    connection.execute("create table t (id int primary key) partition by list (id)")
    connection.execute("create table p partition of t for values in (1)")
    connection.execute("create table u (id int primary key)")
    connection.execute(
        "create publication pub for all tables with (publish_via_partition_root = true)"
    )
    source = make_source()
    source.prepare(describe(source, "t", "u"))  # PostgreSQL 18: has it publish generated columns
    with untouched(connection):
        source.prepare(describe(source, "t", "u"))
        with pytest.raises(SourceError, match=r"for all tables, but not for public\.p"):
            source.prepare(describe(source, "p"))


@pytest.mark.parametrize("members", ["t", "t, p"])
def test_a_partition_whose_table_is_published_too(
    connection: Connection, source: PostgresSource, members: str
) -> None:
    """Adding it would not help, be it in it already or not: refused, and nothing is added."""
    connection.execute("create table t (id int primary key) partition by list (id)")
    connection.execute("create table p partition of t for values in (1)")
    connection.execute(
        f"create publication pub for table {members} "
        "with (publish_via_partition_root = true)".encode()
    )
    with (
        untouched(connection),
        pytest.raises(SourceError, match=r"another source\.publication\.name"),
    ):
        source.prepare(describe(source, "p"))


def test_a_locked_table_is_not_waited_for(
    connection: Connection, source: PostgresSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's DDL: after some seconds it is tried again later, and the statement is named."""
    monkeypatch.setattr(publication, "LOCK_TIMEOUT_SECONDS", 1)
    connection.execute("create table t (id int primary key)")
    relations = describe(source, "t")
    with connection.transaction():
        connection.execute("lock table t in share row exclusive mode")
        with pytest.raises(RetryError, match=r"lock timeout.*create publication"):
            source.prepare(relations)
    source.prepare(relations)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [
        ("", "create publication pub for table only t with (publish_via_partition_root = true)"),
        ("", "create publication pub for table only u"),
        ("create publication pub for table only u", "alter publication pub add table only t"),
        (
            "create publication pub for table only t",
            "alter publication pub set (publish_via_partition_root = true)",
        ),
    ],
)
def test_a_publication_that_another_daemon_makes_at_the_same_time(
    connection: Connection,
    database: Database,
    source: PostgresSource,
    before: str,
    meanwhile: str,
    ends: str,
) -> None:
    """The later of the two waits, looks again, and adds what is missing still."""
    connection.execute("create table t (id int primary key); create table u (id int primary key)")
    connection.execute(before.encode())
    relations = describe(source, "t")
    with (
        psycopg.connect(database.dsn) as another,
        ThreadPoolExecutor() as threads,
    ):
        another.execute(meanwhile.encode())
        preparing = threads.submit(source.prepare, relations)
        wait_until(lambda: waits_for_a_lock(connection))
        another.execute(ends.encode())
        preparing.result(WAIT_SECONDS)
    assert "public.t" in members(connection)
    with untouched(connection):
        source.prepare(relations)


def test_inherited_tables_are_not_followed_by_accident(
    connection: Connection, source: PostgresSource
) -> None:
    """ONLY: children are tables of their own, in the publication and in the snapshot."""
    connection.execute("create table t (id int primary key)")
    connection.execute("create table child (extra int, primary key (id)) inherits (t)")
    connection.execute("insert into t values (1); insert into child values (2, 2)")
    relations = describe(source, "t")
    source.prepare(relations)
    assert members(connection) == {"public.t"}
    source.create_place()
    assert existing_rows(source, relations[0]) == [[b"1"]]
