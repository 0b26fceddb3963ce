"""Log that the server fails to decode, at every attempt: its files are spoilt behind its back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.errors import RetryError, SourceError
from connectors.postgres.undecodable import MOST_IN_A_ROW
from tests.integration.postgres.conftest import MakeSource, one, read_all, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdc_daemon.embedded import PostgresServer
    from cdc_daemon.events import Position, Relation
    from connectors.postgres import PostgresSource
    from tests.conftest import StartPostgres

SLOT = "spoilt"


@pytest.fixture
def server(private_postgres: StartPostgres) -> PostgresServer:
    """One with a table."""
    started = private_postgres()
    with psycopg.connect(started.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key)")
    return started


def overwrite(segment: Path) -> None:
    """The server finds nothing that is a record (SQLSTATE XX000)."""
    segment.write_bytes(bytes(segment.stat().st_size))


def remove(segment: Path) -> None:
    """The server doesn't find the file (58P01)."""
    segment.unlink()


def spoil(server: PostgresServer, how: Callable[[Path], None]) -> None:
    """Change a row; its log is in a file that the server itself doesn't need any more."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("insert into item values (1)")
        segment = one(connection, "select pg_walfile_name(pg_current_wal_lsn())")
        connection.execute("select pg_switch_wal()")
        connection.execute("insert into item values (2)")
        connection.execute("checkpoint")
    how(server.folder / "data" / "pg_wal" / segment)


def attempt(source: PostgresSource, relations: list[Relation], after: Position) -> str:
    """Start and read, until the server ends it; what it is retried for."""
    source.start(relations, after)
    with pytest.raises(RetryError) as caught:
        read_all(source, 20)
    return caught.value.reason


@pytest.mark.parametrize("how", [overwrite, remove])
def test_what_can_not_be_decoded_stops_after_some_attempts(
    server: PostgresServer, make_source: MakeSource, how: Callable[[Path], None]
) -> None:
    """The message says what the server said, from where on, and what loads everything anew."""
    source = make_source(server.dsn, slot=SLOT)
    relations = start(source, "item")
    after = source.place()
    assert after is not None
    source.close()
    spoil(server, how)
    for _ in range(MOST_IN_A_ROW - 1):
        assert attempt(source, relations, after) == "undecodable"
    source.start(relations, after)
    with pytest.raises(SourceError) as caught:
        read_all(source, 20)
    said = str(caught.value)
    assert "XX000" in said or "58P01" in said
    assert source.show(after) in said
    assert "cdc-daemon slot drop" in said
    source.give_up_place()
    start(source, "item")


def test_an_end_that_passes_is_not_counted(server: PostgresServer, make_source: MakeSource) -> None:
    """Somebody ends the walsender, more often than that."""
    source = make_source(server.dsn, slot=SLOT)
    relations = start(source, "item")
    after = source.place()
    assert after is not None
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        for _ in range(MOST_IN_A_ROW + 1):
            connection.execute("select pg_terminate_backend(pid) from pg_stat_replication")
            with pytest.raises(RetryError, match="terminating connection"):
                read_all(source, 20)
            source.start(relations, after)
