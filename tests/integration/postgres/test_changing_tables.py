"""What the stream brings of tables that are altered while it is followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.errors import SourceError
from cdc_daemon.events import ChangeKind
from cdc_daemon.ports import TableRequest
from connectors.postgres.catalog import describe, leaf_partitions, list_tables
from connectors.postgres.readable import privilege_reasons, reading_reasons
from tests.integration.postgres.conftest import Connection, MakeSource, read_commits, start

if TYPE_CHECKING:
    from connectors.postgres import PostgresSource
    from tests.conftest import Database


@pytest.mark.usefixtures("item")
def test_changes_of_columns_that_are_not_mapped_do_not_matter(
    make_source: MakeSource, connection: Connection
) -> None:
    """Added, dropped, renamed, retyped, reordered by that: the mapped ones come as before."""
    source = make_source()
    relations = source.describe([TableRequest("item", ("id", "name"))])
    source.prepare(relations)
    source.start(relations, source.create_place())
    ddl = [
        "alter table item add column more int default 5",
        "alter table item rename column extra to other",
        "alter table item alter column other type int using 1",
        "alter table item drop column other",
        "alter table item alter column name type text",
        "alter table item replica identity full",
        "vacuum full item",
    ]
    for number, statement in enumerate(ddl):
        connection.execute(statement.encode())
        connection.execute("insert into item (id, name) values (%s, 'x')", [number])
    changes = [c for c in read_commits(source, len(ddl)) if c.kind is ChangeKind.INSERT]
    while len(changes) < len(ddl):
        changes += read_commits(source, 1)
    assert [change.new for change in changes] == [
        [str(number).encode(), b'"x"'] for number in range(len(ddl))
    ]


@pytest.mark.parametrize(
    ("ddl", "says"),
    [
        ("alter table item drop column name", "no column name"),
        ("alter table item rename column name to title", "its column title"),
        ("alter table item alter column name type int using 1", "name has another type than text"),
        (
            (
                "alter table item rename to old; create table item (like old including all); "
                "alter publication pub add table item"
            ),
            "another table of its name",
        ),
        (
            (
                "alter table item add unique (extra), alter column extra set not null; "
                "alter table item replica identity using index item_extra_key"
            ),
            "old rows come without id",
        ),
    ],
)
@pytest.mark.usefixtures("item")
def test_changes_of_what_is_mapped_are_misfits(
    source: PostgresSource, connection: Connection, ddl: str, says: str
) -> None:
    """Never wrong values; what came before them is still right."""
    (item,) = start(source, "item")
    connection.execute("insert into item values (1, 'a', 'a')")
    (change,) = read_commits(source, 1)
    assert change.new == [b"1", b'"a"', b'"a"']
    connection.execute(ddl.encode())
    connection.execute("insert into item (id, extra) values (2, 'b')")
    (change,) = read_commits(source, 1)
    assert change.relation.stands_for is item
    assert says in change.relation.misfit
    assert change.new == []


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (
            "rename name to x; rename extra to name; rename x to extra",
            "rename name to x; rename extra to name; rename x to extra",
        ),
        ("rename name to name_old; add name text", "drop name; rename name_old to name"),
    ],
)
@pytest.mark.usefixtures("item")
def test_a_name_that_another_column_has_had_meanwhile_is_a_misfit(
    source: PostgresSource, connection: Connection, there: str, back: str
) -> None:
    """The catalog is as before, and all that is mapped is in the stream, in its order."""
    start(source, "item")
    source.close()
    for one in there.split("; "):
        connection.execute(f"alter table item {one}".encode())
    connection.execute("insert into item (id, name) values (1, 'other')")
    for one in back.split("; "):
        connection.execute(f"alter table item {one}".encode())
    (item,) = source.describe([TableRequest("item", ("id", "name"))])
    place = source.place()
    assert place is not None
    source.start([item], place)
    (change,) = read_commits(source, 1)
    assert change.relation.stands_for is item
    assert "name may be another one" in change.relation.misfit


@pytest.mark.usefixtures("item")
def test_a_column_that_is_not_mapped_may_go(source: PostgresSource, connection: Connection) -> None:
    """The stream still brings it, before or behind what is mapped: places tell what is what."""
    start(source, "item")
    source.close()
    connection.execute("insert into item (id, name, extra) values (1, 'a', 'b')")
    connection.execute("alter table item drop name")
    (item,) = source.describe([TableRequest("item", ("id", "extra"))])
    place = source.place()
    assert place is not None
    source.start([item], place)
    (change,) = read_commits(source, 1)
    assert change.new == [b"1", b'"b"']


@pytest.mark.usefixtures("item")
def test_a_table_is_known_by_its_number(source: PostgresSource, connection: Connection) -> None:
    """Renamed, it is the same one; whoever asks for it by its name is told the new one."""
    (item,) = start(source, "item")
    connection.execute("alter table item rename to things")
    connection.execute("insert into things (id) values (2)")
    (change,) = read_commits(source, 1)
    assert change.relation is item
    with pytest.raises(SourceError, match=r"item does not exist: it is called public\.things now"):
        source.describe([TableRequest("item")])


@pytest.mark.usefixtures("item")
def test_what_was_added_empty_is_null_in_older_rows(
    source: PostgresSource, connection: Connection
) -> None:
    """Rows of the stream from before the table was looked at."""
    relations = start(source, "item")
    place = source.place()
    assert place is not None
    connection.execute("insert into item values (1, 'a', 'a')")
    connection.execute("alter table item add later int")
    connection.execute("insert into item values (2, 'b', 'b', 7)")
    relations = source.describe([TableRequest("item")])
    source.start(relations, place)
    old, new = read_commits(source, 2)
    assert old.new == [b"1", b'"a"', b'"a"', b"null"]
    assert new.new == [b"2", b'"b"', b'"b"', b"7"]


def test_rights_on_a_table_that_is_dropped_while_they_are_read_are_not_lacking(
    database: Database, connection: Connection
) -> None:
    """The query still sees the table, and the server's functions don't: nothing is refused.

    A snapshot that is kept makes what is a moment otherwise last.
    """
    connection.execute("create table part (id int primary key) partition by hash (id)")
    bounds = "partition of part for values with (modulus 1, remainder 0)"
    connection.execute(f"create table part_0 {bounds}".encode())
    with psycopg.connect(database.dsn) as earlier:
        earlier.execute("set transaction isolation level repeatable read")
        tables = list_tables(earlier)
        (relation,) = describe(earlier, [TableRequest("part")])
        part = next(table for table in tables if table.name == "part")
        leaves = leaf_partitions(earlier, [part], tables)[part.oid]
        connection.execute("drop table part")
        assert not list(privilege_reasons(earlier, relation, part))
        assert not list(reading_reasons(earlier, relation, leaves))
