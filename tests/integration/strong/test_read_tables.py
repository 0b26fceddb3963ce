"""A COMMIT that asks for it returns when read tables of the same server show what it did."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.daemons import daemons
from tests.generators.read_tables import TableSearch
from tests.integration.strong.conftest import ITEMS, STRICT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.strong.conftest import Cluster, StartCommit

PROJECTIONS: dict[str, Any] = {
    **ITEMS,
    "counts": {
        "from": "public.item",
        "fields": ["id"],
        "embed": {"parts": {"count": "public.part", "on": {"item_id": "id"}}},
        "freshness": "1h",
    },
}
IDLE_SECONDS = 1.0
STORED = """
select n_tup_ins + n_tup_upd from pg_stat_user_tables where relname = 'cdc_daemon_checkpoint'
"""


@pytest.fixture
def daemon(
    item: psycopg.Connection, database: Database, cluster: Cluster, tmp_path: Path
) -> Iterator[RunningDaemon]:
    """Whose sink is the very server that it follows, and whose commits wait for it."""
    item.execute("create table part (id int primary key, item_id int)")
    sink = {"type": "postgres", "dsn": database.dsn}
    with daemons(database.dsn, sink, tmp_path) as start:
        made = start(PROJECTIONS, consistency=STRICT)
        cluster.make_strong(made)
        yield made


@pytest.mark.usefixtures("daemon")
def test_what_was_committed_is_selected(database: Database, commit: StartCommit) -> None:
    """The query after a COMMIT sees its rows, and not what they were before."""
    tables = TableSearch(database.dsn)
    for number in range(10):
        commit(
            f"insert into item values ({number}, {number})",
            f"insert into part values ({number}, 0)",
        ).returned()
        assert tables.rows(f"select n from read_models.items where id = {number}") == [(number,)]
        query = "select parts from read_models.counts where _id = '0'"
        assert tables.rows(query) == [(number + 1,)]
    commit("delete from item where id = 3").returned()
    assert tables.rows("select from read_models.items where id = 3") == []
    commit("truncate item").returned()
    assert tables.rows("select from read_models.items") == []


def test_what_it_stores_is_no_reason_to_store(database: Database, daemon: RunningDaemon) -> None:
    """Its own commits move the log on: while nobody commits, it comes to rest."""
    daemon.catch_up()
    with psycopg.connect(database.dsn, autocommit=True) as connection:

        def stored() -> int:
            connection.execute("select pg_stat_clear_snapshot()")
            row = connection.execute(STORED).fetchone()
            return 0 if row is None else int(row[0])

        before = stored()
        time.sleep(IDLE_SECONDS)
        assert stored() - before < 20 * IDLE_SECONDS
