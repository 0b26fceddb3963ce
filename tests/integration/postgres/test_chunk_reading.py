"""How a chunk is read: which blocks, how much at once, on which connection."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.embedded.account import give, server_account
from cdc_daemon.errors import RetryError
from cdc_daemon.ports import CHUNK_BYTES
from connectors.postgres import PostgresSource, chunkreader
from connectors.postgres.chunkreader import PostgresChunkReader
from connectors.postgres.rowstatements import copy_chunk
from tests.generators.existing_rows import planned, rows_of
from tests.integration.postgres.conftest import (
    Connection,
    MakeSource,
    describe,
)

if TYPE_CHECKING:
    from cdc_daemon.events import Chunk
    from tests.conftest import Database, StartPostgres


@pytest.fixture(autouse=True)
def item(connection: Connection) -> None:
    """A table of many blocks."""
    connection.execute("create table item (id int primary key, name text)")
    connection.execute(
        "insert into item select i, repeat('x', 200) from generate_series(1, 2000) i"
    )


def test_a_chunk_that_is_too_large_ends_early(
    source: PostgresSource,
) -> None:
    """Right behind its last row, where the rest goes on; the connection stays usable."""
    with closing(source.chunk_reader(2_500)) as reader:
        (relation,) = describe(source, "item")
        (chunk,) = planned(source, relation)
        first = reader.read(relation, chunk)
        assert first.rest is not None
        assert (first.chunk.first, first.chunk.end) == (chunk.first, first.rest.first)
        assert first.rest.end == chunk.end
        assert 10_000 <= first.size_bytes < 10_300
        again = reader.read(relation, first.chunk)
        assert (again.rows, again.size_bytes) == (first.rows, first.size_bytes)
        ids = [int(row[0]) for row in rows_of(reader, relation, [chunk])]  # type: ignore[arg-type]
        assert ids == list(range(1, 2001))


def test_large_values_end_a_chunk_early(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection
) -> None:
    """A hundred rows that take one block on disk are 100 MB of text: COPY is cut off, and resumed.

    One row may be larger than all that is read at once.
    """
    connection.execute("create table big (id int primary key, name text)")
    connection.execute(
        "insert into big select i, repeat('x', 1000000) from generate_series(1, 100) i"
    )
    connection.execute("insert into big values (101, repeat('y', 30000000))")
    (relation,) = describe(source, "big")
    rest: Chunk | None
    (rest,) = planned(source, relation)
    lengths: list[int] = []
    while rest is not None:
        got = reader.read(relation, rest)
        assert got.size_bytes < chunkreader.MOST_CHUNKS * CHUNK_BYTES + 31_000_000
        lengths += [len(row[1]) for row in got.rows if isinstance(row[1], bytes)]
        rest = got.rest
    assert lengths == [1_000_002] * 100 + [30_000_002]


@pytest.mark.parametrize(
    "setting", ["enable_tidscan=off", "enable_seqscan=on", "cursor_tuple_fraction=1"]
)
def test_only_the_blocks_of_the_chunk_are_read(
    database: Database, source: PostgresSource, connection: Connection, setting: str
) -> None:
    """By a TID range scan, whatever the role's settings are and whatever the statistics say."""
    (relation,) = describe(source, "item")
    (chunk,) = planned(source, relation)
    chunks = [replace(chunk, end=(1, 0)), chunk, replace(chunk, end=None)]
    for statistics in ("select", "analyze item"):
        connection.execute(statistics.encode())
        with psycopg.connect(database.dsn, options=f"-c {setting}") as planning:
            planning.execute(chunkreader._SETTINGS)
            for each in chunks:
                query = copy_chunk(relation, each, "").as_string(planning)
                query = query.removeprefix("copy (").removesuffix(") to stdout")
                (first, *others) = planning.execute(f"explain (costs off) {query}".encode())
                assert first == ("Tid Range Scan on item",)
                assert len(others) == 1


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_lost_connection_is_retried(
    database: Database,
    source: PostgresSource,
    reader: PostgresChunkReader,
    connection: Connection,
    when: str,
) -> None:
    """Lost between chunks or amid one; the next read connects by itself."""
    (relation,) = describe(source, "item")
    (chunk,) = planned(source, relation)
    assert len(reader.read(relation, chunk).rows) == 2000
    end = (
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        " and application_name = 'cdc-daemon:integration'"
    )
    with psycopg.connect(database.dsn) as locking:
        if when == "while":
            locking.execute("lock table item in access exclusive mode")
            threading.Timer(0.3, lambda: connection.execute(end.encode())).start()
        else:
            connection.execute(end.encode())
        with pytest.raises(RetryError, match=r"terminat|closed") as caught:
            reader.read(relation, chunk)
        assert caught.value.reason == "unavailable"
    assert len(reader.read(relation, chunk).rows) == 2000


def test_a_standby_is_waited_for(private_postgres: StartPostgres, make_source: MakeSource) -> None:
    """Its snapshots don't say which transactions are running; but it may be promoted."""
    server = private_postgres()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key)")
    server.stop()
    signal = server.folder / "data" / "standby.signal"
    signal.touch()
    give(signal, server_account())
    server.start()
    with closing(PostgresChunkReader(server.dsn, "cdc-daemon", None, CHUNK_BYTES, None)) as reader:
        for _ in range(2):
            with pytest.raises(RetryError, match="is a standby") as caught:
                reader.visibility()
            assert caught.value.reason == "standby"
    with closing(make_source(server.dsn)) as source:
        for attempt in (source.identity, lambda: describe(source, "item"), source.place):
            with pytest.raises(RetryError, match="target_session_attrs=read-write"):
                attempt()
