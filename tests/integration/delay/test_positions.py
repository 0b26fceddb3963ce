"""Positions that a sample has and the stream doesn't reach while the source is idle."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.generators.prober import said
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.delay.conftest import Probed

MESSAGES = """
select count(*) from pg_logical_slot_peek_binary_changes('watcher', null, null,
    'proto_version', '1', 'publication_names', 'nothing', 'messages', 'true')
 where position('cdc-daemon'::bytea in data) > 0
"""


@pytest.fixture
def watcher(probed: Probed) -> Iterator[psycopg.Connection]:
    """A session, with a slot that sees the messages of the log from now on."""
    with psycopg.connect(probed.dsn, autocommit=True) as connection:
        connection.execute("create publication nothing")
        connection.execute("select pg_create_logical_replication_slot('watcher', 'pgoutput')")
        yield connection
        connection.execute("select pg_drop_replication_slot('watcher')")


def is_half_flushed(connection: psycopg.Connection) -> bool:
    """Whether the log goes on after where it is flushed."""
    row = connection.execute(
        "select pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()"
    ).fetchone()
    return row == (True,)


def test_a_record_that_stays_half_flushed_is_no_delay(
    probed: Probed, watcher: psycopg.Connection
) -> None:
    """While nobody commits, the daemon writes one message to the log: then the stream passes it."""
    look = partial(said, probed.daemon)
    until(lambda: look().delay < 1, 60, "the delay is small")
    with psycopg.connect(probed.dsn) as other:
        numbers = itertools.count()

        def message_is_written() -> bool:
            if not is_half_flushed(watcher):
                # Its pages are flushed by the log's writer, when that wakes up, but for the last.
                other.execute(
                    "insert into other select %s, string_agg(md5(random()::text), '')"
                    " from generate_series(1, 3000)",
                    [next(numbers)],
                )
            return watcher.execute(MESSAGES).fetchone() != (0,)

        until(message_is_written, 60, "a message is written", poll_seconds=0.2)
        until(lambda: look().delay < 1, 60, "the delay falls")
        other.rollback()
