"""Makes the daemon a synchronous standby, for as long as the strong strategy is measured."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.1
_SET: Final = "alter system set synchronous_standby_names = {}"
_IS_SYNCHRONOUS: Final = "select from pg_stat_replication where sync_state = 'sync'"


@contextmanager
def synchronous(dsn: str, pipeline: str) -> Iterator[None]:
    """Within the context a COMMIT can wait for searches."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set synchronous_commit = local")
        names = f'FIRST 1 ("cdc-daemon:{pipeline}")'
        connection.execute(sql.SQL(_SET).format(sql.Literal(names)))
        connection.execute("select pg_reload_conf()")
        try:
            _wait(connection)
            yield
        finally:
            connection.execute("alter system reset synchronous_standby_names")
            connection.execute("select pg_reload_conf()")


def _wait(connection: psycopg.Connection) -> None:
    deadline = time.monotonic() + SECONDS
    while connection.execute(_IS_SYNCHRONOUS).fetchone() is None:
        if time.monotonic() > deadline:
            raise StopError(f"the daemon is no synchronous standby after {SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)
