"""Sessions of the driver in Python over TLS, beside those of libpq whose settings they keep to."""

from __future__ import annotations

import os
import time
from contextlib import closing
from io import BytesIO
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.errors import RetryError
from connectors.postgres.database import Database
from tests.integration.postgres.conftest import with_settings
from tests.integration.postgres.test_tls import certificate, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.embedded import PostgresServer
    from connectors.postgres.puredriver import PureConnection

__all__ = ["certificate", "server"]

MEGABYTES = 20
WAIT_SECONDS = 60.0
IN_USE = "select ssl, version like 'TLSv1%' from pg_stat_ssl where pid = pg_backend_pid()"


@pytest.fixture
def session(server: PostgresServer, tmp_path: Path) -> Iterator[PureConnection]:
    """One for a DSN that has the server's certificate verified."""
    strict = {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.crt")}
    dsn = with_settings(server.dsn, **strict, dbname="postgres")
    with closing(Database(dsn, "test")) as database, closing(database.session()) as made:
        yield made


def test_what_is_read_comes_encrypted_and_whole(session: PureConnection) -> None:
    """By the same settings of the DSN, in large answers and by COPY."""
    assert session.rows(IN_USE) == [("t", "t")]
    query = f"select repeat('x', 1000000) from generate_series(1, {MEGABYTES})"
    assert [len(text or "") for (text,) in session.rows(query)] == [1_000_000] * MEGABYTES
    lines = BytesIO()
    session.copy(f"copy ({query}) to stdout", lines, "read rows")
    assert lines.tell() == MEGABYTES * 1_000_001


def test_what_the_server_says_by_itself_is_noticed(
    session: PureConnection,
    server: PostgresServer,
) -> None:
    """Notifications end a wait, also those that TLS holds already; then the session is cut off."""
    never = os.eventfd(0)
    session.rows("listen here")
    [(pid,)] = session.rows("select pg_backend_pid()")
    with psycopg.connect(server.dsn, autocommit=True) as other:
        for number in range(20):
            other.execute("notify here")
            if number % 2:
                session.rows("select pg_sleep(0.01)")
            began = time.monotonic()
            while not session.take_notifications():
                session.wait(never, WAIT_SECONDS)
                session.rows("select")
            assert time.monotonic() - began < WAIT_SECONDS
        other.execute("select pg_terminate_backend(%s, 10000)", [int(pid or 0)])
    os.close(never)
    for _ in range(2):
        with pytest.raises(RetryError):
            session.rows("select")
    assert session.closed
