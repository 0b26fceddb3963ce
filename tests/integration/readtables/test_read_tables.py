"""A pipeline into read tables: what a person sees of it, from the first load on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.read_tables import TableSearch

HOTELS: dict[str, Any] = {
    "hotels": {
        "from": "public.hotel",
        "fields": ["id", "name", "stars", "opened"],
        "freshness": 0,
        "indexes": ["stars desc, name", "using gin (_document jsonb_path_ops)"],
    }
}


@pytest.fixture
def source(database: Database) -> Iterator[psycopg.Connection]:
    """A table of hotels with two rows, in autocommit."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(
            "create table hotel (id int primary key, name text, stars int, opened date)"
        )
        connection.execute(
            "insert into hotel values (1, 'Sacher', 5, '1876-01-01'),"
            " (2, 'Ruin', 1, '0044-03-15 BC')"
        )
        yield connection


def test_loads_and_follows(
    source: psycopg.Connection, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """Existing rows are loaded, changes follow, and each field has a column of its own type."""
    daemon = start_daemon(HOTELS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    query = "select id, name, stars, opened::text from read_models.hotels order by id"
    assert tables.rows(query) == [
        (1, "Sacher", 5, "1876-01-01"),
        (2, "Ruin", 1, "0044-03-15 BC"),
    ]
    source.execute("update hotel set stars = 4 where id = 1")
    source.execute("delete from hotel where id = 2")
    source.execute("insert into hotel values (3, 'Ritz', null, 'infinity')")
    daemon.catch_up()
    assert tables.rows(query) == [(1, "Sacher", 4, "1876-01-01"), (3, "Ritz", None, "infinity")]
    source.execute("truncate hotel")
    source.execute("insert into hotel values (1, 'Sacher', 5)")
    daemon.catch_up()
    assert tables.rows(query) == [(1, "Sacher", 5, None)]
    assert daemon.terminate() == 0
