"""A stream that stands still: the server sends nothing to the daemon for a while."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def stream_stopped(dsn: str) -> Iterator[None]:
    """The server sends nothing to the daemon that follows this database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(
            "select active_pid from pg_replication_slots where database = current_database()"
        ).fetchone()
    assert row is not None
    os.kill(row[0], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(row[0], signal.SIGCONT)
