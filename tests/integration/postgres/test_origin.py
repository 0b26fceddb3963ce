"""`source.origin`: what the server itself has from another server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.errors import SourceError
from tests.conftest import OF_THE_MACHINE
from tests.integration.postgres.conftest import (
    alarms,
    describe,
    one,
    read_commits,
    start,
    untouched,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.integration.postgres.conftest import Connection, MakeSource

ORIGIN_VERSION = 160000


@pytest.fixture
def subscriber(database: Database, connection: Connection) -> Iterator[Connection]:
    """Writes as a subscription does: what it writes comes from elsewhere."""
    connection.execute("create table item (id int primary key)")
    with psycopg.connect(database.dsn, autocommit=True) as writer:
        writer.execute("select pg_replication_origin_create(%s)", [database.name])
        writer.execute("select pg_replication_origin_session_setup(%s)", [database.name])
        yield writer
        writer.execute("select pg_replication_origin_session_reset()")
        writer.execute("select pg_replication_origin_drop(%s)", [database.name])


def followed(
    source_commits: int, make_source: MakeSource, *writers: Connection, **settings: str
) -> list[bytes]:
    """The ids that come of a row from each writer."""
    source = make_source(**settings)
    start(source, "public.item")
    for number, writer in enumerate(writers):
        writer.execute("insert into item values (%s)", [number])
    changes = read_commits(source, source_commits)
    return [change.new[0] for change in changes if change.new]  # type: ignore[misc]  # bytes


def test_any_origin_is_followed_unless_told_otherwise(
    connection: Connection, subscriber: Connection, make_source: MakeSource
) -> None:
    """By default the read models show what the tables hold, wherever it came from."""
    assert followed(2, make_source, subscriber, connection) == [b"0", b"1"]


def test_what_came_from_elsewhere_is_left_out(
    connection: Connection, subscriber: Connection, make_source: MakeSource
) -> None:
    """With `origin: none`; large transactions too."""
    if connection.info.server_version < ORIGIN_VERSION:
        pytest.skip(f"{OF_THE_MACHINE}PostgreSQL tells origins apart from 16 on")
    dbname = one(connection, "select current_database()")
    connection.execute(f"alter database {dbname} set logical_decoding_work_mem = '64kB'".encode())
    source = make_source(origin="none")
    start(source, "public.item")
    large = "insert into item select generate_series(%s::int, %s::int)"
    subscriber.execute(large, [1, 3000])
    connection.execute(large, [5001, 8000])
    subscriber.execute("insert into item values (0)")
    connection.execute("insert into item values (10000)")
    changes = read_commits(source, 2)
    ids = [int(change.new[0]) for change in changes if change.new]  # type: ignore[arg-type]  # bytes
    assert ids == [*range(5001, 8001), 10_000]


@pytest.mark.parametrize("database", [15], indirect=True)
def test_a_server_that_can_not_tell_is_refused(
    connection: Connection, make_source: MakeSource
) -> None:
    """Before anything is touched, and by `cdc-daemon check`."""
    connection.execute("create table item (id int primary key)")
    source = make_source(origin="none")
    assert "that came with 16. Set it to any" in alarms(source, "public.item")["origin"]
    relations = describe(source, "public.item")
    with untouched(connection), pytest.raises(SourceError, match=r"source\.origin is none"):
        source.prepare(relations)
