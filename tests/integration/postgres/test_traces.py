"""`source.trace`: the trace of a transaction, from the server's own messages and rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.events import Commit
from tests.integration.postgres.conftest import start

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.integration.postgres.conftest import MakeSource

FIRST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECOND = "00-1bf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EMIT = "select pg_logical_emit_message(true, 'traceparent', %s)"
TRANSACTIONS = 4
PATIENCE_SECONDS = 60.0


def traced(database: Database, make_source: MakeSource, **trace: object) -> list[str]:
    """The traces of four transactions: a message, a row, a message in many rows, and neither."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(
            f"alter database {database.name} set logical_decoding_work_mem = '64kB'".encode()
        )
        connection.execute("create table item (id int primary key, note text, trace text)")
        source = make_source(dsn=database.dsn, trace=trace)
        start(source, "public.item")
        with connection.transaction():
            connection.execute(EMIT, [FIRST])
            connection.execute("insert into item values (1, 'x', null)")
        connection.execute("insert into item values (2, 'x', %s)", [SECOND])
        with connection.transaction():
            connection.execute(EMIT, [FIRST])
            connection.execute("insert into item select generate_series(100, 3000)")
        connection.execute("insert into item values (4)")
        commits: list[Commit] = []
        until = time.monotonic() + PATIENCE_SECONDS
        while len(commits) < TRANSACTIONS and time.monotonic() < until:
            commits += [event for event in source.read(0.1) if isinstance(event, Commit)]
    return [commit.traceparent for commit in commits]


@pytest.mark.parametrize("version", ["", "16"])
def test_messages_and_a_column_say_which_trace_it_is(
    request: pytest.FixtureRequest, make_source: MakeSource, version: str
) -> None:
    """Also of a transaction that is streamed in parts."""
    database = request.getfixturevalue(f"database{version}")
    found = traced(database, make_source, messages=True, column="trace")
    assert found == [FIRST, SECOND, FIRST, ""]


def test_what_is_not_configured_is_not_looked_for(
    database: Database, make_source: MakeSource
) -> None:
    """Messages don't even come over the network then."""
    assert traced(database, make_source) == ["", "", "", ""]
