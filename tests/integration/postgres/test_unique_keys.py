"""Which columns the catalog says are unique: what a `one` may lead to, or an id be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from cdc_daemon.ports import TableRequest
from connectors.postgres.catalog import describe

if TYPE_CHECKING:
    from tests.conftest import Database

TABLES = """
create table hotel (id int primary key, a int, b int, c int, d text, unique (b, a));
create unique index on hotel (c) include (d);
create unique index on hotel (a) where b > 0;
create unique index on hotel (lower(d));
create index on hotel (b);
create table sale (id int, day date, no int unique deferrable initially deferred);
create table part (id int, day date, primary key (day, id)) partition by hash (id);
create view seen as select * from hotel;
"""


def test_only_what_holds_for_all_rows_is_unique(database: Database) -> None:
    """Not a partial index, nor one of expressions; included columns are no part of a key."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute(TABLES)
        names = ("hotel", "sale", "part", "seen")
        hotel, sale, part, seen = describe(connection, [TableRequest(name) for name in names])
    assert hotel.unique_keys == (("id",), ("b", "a"), ("c",))
    assert hotel.immediate_keys == hotel.unique_keys
    assert sale.unique_keys == (("no",),)  # at a commit it holds
    assert sale.immediate_keys == ()
    assert part.unique_keys == (("day", "id"),)
    assert seen.unique_keys == ()


def test_an_index_that_is_being_built_says_nothing(database: Database) -> None:
    """It may fail yet, over rows that are equal."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table hotel (id int primary key, a int)")
        connection.execute("insert into hotel values (1, 1), (2, 1)")
        try:
            connection.execute("create unique index concurrently on hotel (a)")
        except psycopg.errors.UniqueViolation:
            (hotel,) = describe(connection, [TableRequest("hotel")])
        assert hotel.unique_keys == (("id",),)
