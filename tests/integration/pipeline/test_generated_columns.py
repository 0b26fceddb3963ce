"""Documents show generated columns as the server has them, whether it streams them or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators.oracle import assert_equal

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

VIRTUAL_FROM = 180000
LARGE = "(select string_agg(md5(i::text), '') from generate_series(1, 500) i)"
STORED = """
create table page (
  id int primary key, first text, last text, price numeric(10,3), count int, body text, day date,
  name text generated always as (coalesce(first, '?') || ' ' || last) stored,
  total numeric(12,1) generated always as (price * count) stored,
  size int generated always as (length(body)) stored,
  copy text generated always as (upper(body)) stored,
  year int generated always as (extract(year from day)::int) stored,
  early bool generated always as (last like 'a%' and first in ('x', 'y')) stored
)
"""
FILL = """
insert into page (id, first, last, price, count, body, day)
select i, nullif(left('xyz', mod(i, 4)), ''), case when mod(i, 2) = 0 then 'ab' else 'cd' end,
       i / 7.0, i, {large}, date '2020-01-01' + 40 * i
from generate_series(1, 60) i
"""
PROJECTIONS: dict[str, Any] = {
    "pages": {"from": "page", "fields": "*"},
    "early": {
        "from": "page",
        "where": "early and total > 10",
        "fields": {"full": {"column": "name"}, "next": {"expression": "year + 1"}},
    },
    "sizes": {"from": "page", "fields": {"size": None}},
}
EXPECTED = {
    "pages": "select id::text, to_jsonb(page) from page",
    "early": "select id::text, jsonb_build_object('full', name, 'next', year + 1) from page "
    "where early and total > 10",
    "sizes": "select id::text, jsonb_build_object('size', size) from page",
}


def test_documents_equal_their_rows(
    database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Loaded and streamed, with NULL, and made of large values that an update leaves out."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(STORED)
        if connection.info.server_version >= VIRTUAL_FROM:
            connection.execute(
                "alter table page add column shout text generated always as (first || '!')"
            )
        connection.execute((FILL.format(large=LARGE)).encode())
        daemon = start_daemon(PROJECTIONS)
        daemon.wait_until("streaming")
        daemon.catch_up()
        assert_equal(database.dsn, rest, EXPECTED)
        for statement in (
            "update page set count = count + 1",
            "update page set first = null, day = null where id < 10",
            "update page set last = 'abc' where id between 20 and 30",
            "update page set id = id + 100 where id < 5",
            "update page set body = 'short' where id = 40",
            "update page set price = null where id = 41",
            "delete from page where id > 55",
        ):
            connection.execute(statement.encode())
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED)
    assert not daemon.total("cdc_dead_letters_total")
