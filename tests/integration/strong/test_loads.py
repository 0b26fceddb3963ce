"""Commits that wait for the daemon while it loads rows: none waits for the load."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import lsn, until
from tests.generators.slow_load import ROWS, rows_loaded
from tests.integration.strong.conftest import PATIENCE_SECONDS, STRICT, enable, standby_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon
    from tests.integration.strong.conftest import Cluster, StartCommit

SMALL: dict[str, Any] = {"from": "public.small", "fields": "*"}
LARGE: dict[str, Any] = {"from": "public.item", "fields": "*"}
ONE: dict[str, Any] = {"smalls": SMALL}
BOTH: dict[str, Any] = {**ONE, "items": LARGE}
SLOWLY: dict[str, Any] = {"workers": 1, "chunk": "20kB", "rows_per_second": 400}
"""Some fifteen seconds."""
ROWS_OF = "select id::text, jsonb_build_object('id', id, 'n', n) from "
EXPECTED = {"smalls": ROWS_OF + "small", "items": ROWS_OF + "item"}
REFUSED = "cdc_backfill_chunks_refused_total"
ROUNDS = 5
"""Each is a chunk that was read and doesn't see the commit."""
LOADED = "cdc_load_rows_total"
NOBODY = "nobody"
"""A standby that never answers."""
WAITS = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
LAST = f"update item set n = -1 where id = {ROWS}"
"""Its row is read at the end."""


@pytest.fixture
def session(database: Database, cluster: Cluster) -> Iterator[psycopg.Connection]:  # noqa: ARG001 - nobody is waited for in the end
    """Waits for nobody, on a database of a small table and a large one."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute("create table small (id int primary key, n int)")
        opened.execute("create table item (id int primary key, n int)")
        opened.execute("insert into small values (1, 1)")
        opened.execute("insert into item select i, i from generate_series(1, %s) i", [ROWS])
        yield opened


@pytest.fixture
def loading(
    session: psycopg.Connection, cluster: Cluster, start_daemon: StartDaemon
) -> RunningDaemon:
    """Commits wait for it, and it loads the large table, slowly."""
    assert session.autocommit
    before = start_daemon(ONE, consistency=STRICT)
    enable(before)
    assert before.terminate() == 0
    daemon = start_daemon(BOTH, consistency=STRICT, backfill=SLOWLY)
    until(lambda: rows_loaded(daemon) > 0, PATIENCE_SECONDS, "it loads")
    name = standby_name(daemon)
    until(lambda: cluster.state_of(name) == "sync", PATIENCE_SECONDS, "it is waited for")
    return daemon


def finish(daemon: RunningDaemon, database: Database, rest: Rest) -> None:
    """All is loaded, and every document equals SQL."""
    daemon.wait_until("streaming", 120)
    daemon.catch_up()
    assert_equal(database.dsn, rest, EXPECTED)


@pytest.mark.parametrize("level", ["on", "remote_apply"])
def test_commits_return_while_rows_are_loaded(
    loading: RunningDaemon, commit: StartCommit, database: Database, rest: Rest, level: str
) -> None:
    """Of either table, of rows that are loaded and of rows that aren't."""
    for statement in ("update small set n = 2", "update item set n = -1 where id = 1", LAST):
        commit(statement, level=level).returned()
    assert loading.status()["state"] == "loading"
    finish(loading, database, rest)


def test_a_commit_that_waits_over_a_start_in_place_returns(
    loading: RunningDaemon,
    session: psycopg.Connection,
    commit: StartCommit,
    database: Database,
    rest: Rest,
) -> None:
    """The load that begins then looks for commits that wait, and this one waits for the daemon."""
    loading.signal(signal.SIGSTOP)
    waiting = commit(LAST, level="on")
    until(lambda: waits(session) == 1, PATIENCE_SECONDS, "it waits")
    session.execute("alter table small alter n type bigint")
    loading.signal(signal.SIGCONT)
    waiting.returned()
    until(lambda: bool(loading.events("schema_changed")), PATIENCE_SECONDS, "it begins anew")
    finish(loading, database, rest)


def test_a_load_is_right_where_the_daemon_is_killed_while_a_commit_is_not_visible(
    loading: RunningDaemon,
    session: psycopg.Connection,
    cluster: Cluster,
    commit: StartCommit,
    database: Database,
    rest: Rest,
) -> None:
    """It was confirmed, and isn't sent again: until it is visible no rows count that are read."""
    name = standby_name(loading)
    cluster.wait_for(f'FIRST 2 ("{name}", {NOBODY})')
    waiting = commit(LAST, level="on")
    until(lambda: waits(session) == 1, PATIENCE_SECONDS, "it waits")
    ((end,),) = session.execute("select pg_current_wal_flush_lsn()::text").fetchall()
    session.execute("select pg_logical_emit_message(true, 'more', '')")
    until(lambda: loading.position("checkpoint") >= lsn(end), PATIENCE_SECONDS, "it is confirmed")
    loading.kill()
    loading.start()
    until(lambda: rows_loaded(loading) > 0, PATIENCE_SECONDS, "the load goes on")
    before = rows_loaded(loading)
    until(lambda: loading.total(REFUSED) >= ROUNDS, PATIENCE_SECONDS, "chunks are refused")
    assert rows_loaded(loading) == before
    assert loading.total(LOADED) == 0
    assert waiting.waits
    cluster.wait_for(f'FIRST 1 ("{name}")')
    waiting.returned()
    finish(loading, database, rest)
    assert loading.total(LOADED) > 0


def waits(session: psycopg.Connection) -> int:
    """How many commits wait for a standby."""
    ((count,),) = session.execute(WAITS).fetchall()
    return int(count)
