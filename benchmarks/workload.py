"""The ten-column table that every benchmark uses, and the changes that are made to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import psycopg

TABLE: Final = "public.item"

CREATE: Final = """
create table item (
  id bigint primary key,
  name text not null,
  city varchar(40) not null,
  note text not null,
  price numeric(10,2) not null,
  quantity int not null,
  active boolean not null,
  created timestamptz not null,
  due date not null,
  attributes jsonb not null
)
"""

ROWS: Final = """
select i, 'Item number ' || i || ' of the store', 'City ' || i %% 500,
       'It was packed by hand, ' || md5(i::text) || ', and checked twice',
       (i %% 100000) / 100.0, i %% 1000, true, timestamptz '2026-01-01' + i * interval '1 second',
       date '2026-01-01' + (i %% 365)::int,
       jsonb_build_object('colour', 'blue', 'weight', i %% 50, 'tags', jsonb_build_array('a', 'b'))
from generate_series(%(first)s::bigint, %(last)s::bigint) i
"""
INSERT: Final = f"insert into item {ROWS}"
UPDATE: Final = """
update item set active = false, price = price + 1, note = note || '!'
where id between %(first)s and %(last)s
"""

TRANSACTION_CHANGES: Final = 1000
INSERTS: Final = 800
UPDATES: Final = TRANSACTION_CHANGES - INSERTS


class Expected(NamedTuple):
    """What a search finds once every change is there."""

    documents: int
    updated: int
    """Of them those with `active` false: no row is updated twice."""


def create_table(connection: psycopg.Connection) -> None:
    """Make the empty table."""
    connection.execute(CREATE)


def make_changes(connection: psycopg.Connection, changes: int) -> Expected:
    """Commit `changes` changes in transactions of 800 inserts and 200 updates.

    Each updates rows of a transaction half as old as itself, so that hardly any two changes of one
    document meet in a batch: what is measured is not spared work.
    """
    transactions = changes // TRANSACTION_CHANGES
    for number in range(transactions):
        first = number * INSERTS + 1
        updated = number // 2 * INSERTS + number % 2 * UPDATES + 1
        with connection.transaction():
            connection.execute(INSERT, {"first": first, "last": first + INSERTS - 1})
            connection.execute(UPDATE, {"first": updated, "last": updated + UPDATES - 1})
    return Expected(transactions * INSERTS, transactions * UPDATES)


def current_position(connection: psycopg.Connection) -> int:
    """Where the log ends now: behind every change that is committed."""
    found = connection.execute("select pg_current_wal_insert_lsn() - '0/0'").fetchone()
    return int(found[0]) if found else 0
