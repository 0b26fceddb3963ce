"""Numbers of transactions begin anew after four billion: chunks and stream tell them apart still.

A real server is set forward to where they do, by its own pg_resetwal.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, closing
from shutil import chown
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon import embedded
from cdc_daemon.events import Change, Commit
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from tests.generators.existing_rows import existing_chunks
from tests.integration.postgres.conftest import describe, start

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.embedded import PostgresServer
    from cdc_daemon.events import Event
    from tests.conftest import StartPostgres

VERSION = 15
"""Of this one the system has the program that sets it forward."""
EPOCH = 1 << 32
BEFORE = 60
"""So many numbers are left."""
ROWS = 200
OPEN = range(0, ROWS, 20)
"""Rows whose transactions are open when existing rows are read."""
LAST_SEGMENT = "0FFF"
SEGMENT_BYTES = 256 * 1024
"""The outcomes of a million transactions: a server that gets there by itself has them."""


@pytest.fixture
def server(private_postgres: StartPostgres) -> PostgresServer:
    """The next transaction has nearly the last number of its epoch."""
    made = private_postgres(VERSION)
    for database in ("template1", "postgres"):
        with psycopg.connect(made.dsn_of(database), autocommit=True) as connection:
            connection.execute("vacuum freeze")
    made.stop()
    data = made.folder / "data"
    outcomes = data / "pg_xact" / LAST_SEGMENT
    outcomes.write_bytes(bytes(SEGMENT_BYTES))
    owner = data.stat()
    outcomes.chmod(0o600)
    chown(outcomes, owner.st_uid, owner.st_gid)
    programs = embedded.system_binaries(VERSION)
    assert programs is not None
    command: list[str | Path] = [programs / "pg_resetwal", "-x", str(EPOCH - BEFORE), "-D", data]
    subprocess.run(command, check=True, user=owner.st_uid, group=owner.st_gid, capture_output=True)
    made.start()
    return made


def test_numbers_of_transactions_begin_anew(server: PostgresServer) -> None:
    """A snapshot sees exactly the commits whose rows the chunk has, on both sides of the border."""
    config = PostgresConfig.model_validate({"type": "postgres", "dsn": server.dsn})
    with (
        ExitStack() as stack,
        closing(PostgresSource(config, pipeline="wraparound")) as source,
        psycopg.connect(server.dsn, autocommit=True) as connection,
    ):
        connection.execute("create table item (id int primary key)")
        start(source, "item")
        waiting = []
        for number in range(ROWS):
            writer = connection
            if number in OPEN:
                writer = stack.enter_context(psycopg.connect(server.dsn))
                waiting.append(writer)
            writer.execute("insert into item values (%s)", [number])
        (relation,) = describe(source, "item")
        (chunk,) = existing_chunks(source, relation)
        for writer in waiting:
            writer.commit()
        commits = xids(read_rows(source))
    assert commits.keys() == set(range(ROWS))
    assert min(commits.values()) < ROWS < EPOCH - BEFORE <= max(commits.values())
    found = {int(row[0]) for row in chunk.rows if isinstance(row[0], bytes)}
    assert found == set(range(ROWS)) - set(OPEN)
    assert {number for number, xid in commits.items() if chunk.seen.sees(xid)} == found


def read_rows(source: PostgresSource) -> list[Event]:
    """Until all have come."""
    events: list[Event] = []
    while sum(isinstance(event, Commit) for event in events) < ROWS:
        events += source.read(20)
    return events


def xids(events: list[Event]) -> dict[int, int]:
    """By row: the number of its transaction."""
    found: dict[int, int] = {}
    rows: list[int] = []
    for event in events:
        if isinstance(event, Change) and event.new is not None:
            assert isinstance(event.new[0], bytes)
            rows.append(int(event.new[0]))
        elif isinstance(event, Commit):
            found |= dict.fromkeys(rows, event.xid)
            rows.clear()
    return found
