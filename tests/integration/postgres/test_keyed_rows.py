"""Rows are read by their keys while somebody changes the table, or what its columns are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import RetryError, SchemaChangedError, SourceError
from tests.integration.postgres.conftest import describe

if TYPE_CHECKING:
    from connectors.postgres import PostgresSource
    from connectors.postgres.chunkreader import PostgresChunkReader
    from tests.integration.postgres.conftest import Connection


@pytest.fixture(autouse=True)
def item(connection: Connection) -> None:
    """A table whose key is of a type that somebody made, and of one with a modifier."""
    connection.execute("create type kind as enum ('small', 'large')")
    connection.execute(
        "create table item (kind kind, code char(3), n int, primary key (kind, code))"
    )
    connection.execute("insert into item values ('small', 'abc', 1), ('large', 'abc', 2)")


@pytest.mark.parametrize(
    "change",
    [
        "select",
        "alter type kind rename to size",
        "create schema aside; alter type kind set schema aside",
    ],
)
def test_the_type_of_a_key_may_go_by_another_name(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection, change: str
) -> None:
    """It is the same type: no documents depend on its name."""
    (relation,) = describe(source, "item")
    connection.execute(change.encode())
    found = reader.read_keys(relation, ["kind", "code"], [("large", "abc"), ("small", "x")])
    assert [row[relation.index_of("n")] for row in found.rows] == [b"2"]


def test_a_condition_leaves_rows_out(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """One that fails is blamed for it, and not for a key that its type doesn't have any more."""
    (relation,) = describe(source, "item")
    keys = [("large", "abc"), ("small", "abc")]
    found = reader.read_keys(relation, ["kind", "code"], keys, "item.n > 1")
    assert [row[relation.index_of("n")] for row in found.rows] == [b"2"]
    with pytest.raises(SourceError, match="by the condition failed: division by zero"):
        reader.read_keys(relation, ["kind", "code"], keys, "1 / (n - n) > 0")
    connection.execute("alter type kind rename value 'small' to 'tiny'")
    with pytest.raises(SchemaChangedError, match="a key of a row is none that its type has now"):
        reader.read_keys(relation, ["kind", "code"], keys, "n > 0")


def test_a_type_that_is_renamed_meanwhile_is_asked_for_again(
    source: PostgresSource,
    reader: PostgresChunkReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the look at its name and the reading: nothing locks it."""
    (relation,) = describe(source, "item")
    with monkeypatch.context() as patch:
        patch.setattr("connectors.postgres.chunkreader.key_types", lambda *_: ["formerly", "text"])
        with pytest.raises(RetryError, match='type "formerly\\[\\]" does not exist'):
            reader.read_keys(relation, ["kind", "code"], [("large", "abc")])
    assert len(reader.read_keys(relation, ["kind", "code"], [("large", "abc")]).rows) == 1


@pytest.mark.parametrize(
    "change", ["drop table item", "drop schema public cascade", "alter table item rename to other"]
)
def test_a_table_that_is_away_is_waited_for(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection, change: str
) -> None:
    """Somebody makes it anew in two steps; if it stays away the look at the catalog says so."""
    (relation,) = describe(source, "item")
    connection.execute(change.encode())
    with pytest.raises(RetryError, match=r"public.*item.* is away"):
        reader.read_keys(relation, ["kind", "code"], [("large", "abc")])


def test_a_key_that_is_gone_is_another_table(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """The mapping is compiled anew."""
    (relation,) = describe(source, "item")
    connection.execute("drop table item; create table item (kind kind primary key, n int)")
    with pytest.raises(SchemaChangedError, match="a mapped column is gone"):
        reader.read_keys(relation, ["kind", "code"], [("large", "abc")])


def test_a_key_whose_label_has_another_name_now_is_another_table(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """The stream has the name of its time; the mapping is compiled anew."""
    (relation,) = describe(source, "item")
    connection.execute("alter type kind rename value 'large' to 'huge'")
    with pytest.raises(SchemaChangedError, match="a key of a row"):
        reader.read_keys(relation, ["kind", "code"], [("small", "abc"), ("large", "abc")])


def test_a_key_that_its_domain_no_longer_takes_is_read_by(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """Rows from before the constraint still have it."""
    connection.execute("create domain text4 as varchar(4); create domain word as text4")
    connection.execute("create table page (id word primary key)")
    (relation,) = describe(source, "page")
    connection.execute("insert into page values ('abc')")
    connection.execute("alter domain word add check (length(value) < 3) not valid")
    assert reader.read_keys(relation, ["id"], [("abc",)]).rows == [[b'"abc"']]
