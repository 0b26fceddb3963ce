"""The store that every technique is compared on: bookings, in a database of each one's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, LiteralString

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import PostgresServer

TABLE: Final = "public.booking"
FIRST_NEW_KEY: Final = 1_000_000_000
"""Keys of rows that the workload makes begin here; those below are there before it."""

CHANGE_ONE: Final[LiteralString] = """
update booking set nights = nights % 14 + 1, revision = revision + 1, updated_at = now()
 where id = :id
"""
"""What writers at full speed do; `:id` is pgbench's."""
CHANGE_MANY: Final[LiteralString] = """
update booking set batch = 1, revision = revision + 1, updated_at = now()
 where id between %s and %s
"""
"""What makes a backlog; its rows are known by their `batch`."""
BACKLOG: Final = 1

_SCHEMA: Final[LiteralString] = """
create table booking (
  id bigint primary key,
  revision int not null default 1,
  guest text not null,
  nights int not null,
  price numeric(10, 2) not null,
  note text not null,
  batch int not null default 0,
  updated_at timestamptz not null default now()
);
create index on booking (updated_at);
insert into booking (id, guest, nights, price, note)
  select id, 'Guest ' || id, id % 14 + 1, id % 500 + 0.5, repeat('n', 60)
  from generate_series(1, {rows}) id
"""
_DROP_SLOTS: Final[LiteralString] = """
select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s
"""
_DROP: Final[LiteralString] = "drop database if exists {} with (force)"


@contextmanager
def database(server: PostgresServer, name: str, rows: int) -> Iterator[str]:
    """A database with so many bookings, for as long as the context lasts; gives its DSN."""
    identifier = sql.Identifier(name)
    with psycopg.connect(server.dsn, autocommit=True) as administrator:
        administrator.execute(sql.SQL("create database {}").format(identifier))
        try:
            dsn = server.dsn_of(name)
            with psycopg.connect(dsn) as connection:
                connection.execute(sql.SQL(_SCHEMA).format(rows=sql.Literal(rows)))
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("vacuum analyze booking")
            yield dsn
        finally:
            administrator.execute(_DROP_SLOTS, [name])
            administrator.execute(sql.SQL(_DROP).format(identifier))


def revisions(dsn: str) -> dict[int, int]:
    """The revision of every row, by key."""
    with psycopg.connect(dsn) as connection:
        return dict(connection.execute("select id, revision from booking").fetchall())
