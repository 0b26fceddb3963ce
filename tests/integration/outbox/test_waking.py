"""Commits wake a reader of the outbox that would otherwise look in an hour."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators.outbox_rows import Added
from tests.generators.running_daemon import until
from tests.integration.outbox.conftest import ITEM

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.integration.outbox.conftest import Connection, MakeOutbox

AN_HOUR = 3600.0
WOKEN_SECONDS = 240
"""No more than that on the busiest machine; without being woken it takes the hour."""
_WAITS = """
select count(*) = 1 from pg_stat_activity a join pg_locks l using (pid)
where l.locktype = 'advisory' and l.granted and a.datname = current_database()
  and a.state = 'idle' and a.state_change > %s
  and clock_timestamp() - a.state_change > interval '1 second'
"""
"""The reader has looked since that moment, and then for a while no more."""


def test_a_commit_wakes_the_reader(
    database: Database, connection: Connection, make_outbox: MakeOutbox
) -> None:
    """Each of several, one after the other: a row, a TRUNCATE, and what another session commits."""
    connection.execute(ITEM)
    added = Added(make_outbox("item", notify=True, poll_interval="1h"), "item")
    added.begin()
    for statement, rows in (
        ("insert into item values (1, 'a')", {1: ["a"]}),
        ("update item set note = 'b'", {1: ["b"]}),
        ("truncate item", {}),
    ):
        now = connection.execute("select clock_timestamp()").fetchone()
        with psycopg.connect(database.dsn) as other, ThreadPoolExecutor(1) as reader:
            found = reader.submit(read_on, added)
            try:
                until(partial(waits, connection, now), 60, "it waits")
                other.execute(statement)
                other.commit()
                found.result(WOKEN_SECONDS)
            except BaseException:
                added.source.wake()  # so that its thread ends
                raise
        assert added.rows == rows


def waits(connection: Connection, since: tuple[Any, ...] | None) -> bool:
    """Whether the reader does."""
    return connection.execute(_WAITS, since).fetchone() == (True,)


def read_on(added: Added) -> None:
    """Until something has come, which is given within one look; or until somebody else wakes it."""
    before = len(added.commits)
    while len(added.commits) == before:
        events = added.source.read(AN_HOUR)
        if not events:
            return
        added.take(events)
