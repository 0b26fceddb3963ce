"""What goes wrong around a daemon that polls: said clearly, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.generators.forked import command
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.read_tables import TableSearch

POLLING = {"type": "polling", "interval": "200ms"}
HOTELS: dict[str, Any] = {"hotels": {"from": "hotel", "fields": ["id", "name"]}}
TABLE = "create table hotel (id int primary key, name text); insert into hotel values (1, 'Ritz')"


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """Writes, as the application."""
    with psycopg.connect(database.dsn, autocommit=True) as made:
        made.execute(TABLE.encode())
        yield made


def names(tables: TableSearch) -> dict[str, Any]:
    """Of the hotels that are shown."""
    return {row[0]: row[1] for row in tables.rows("select _id, name from read_models.hotels")}


def test_a_role_that_may_not_read_is_told_what_is_lacking(
    database: Database, connection: psycopg.Connection[Any], start_daemon: StartDaemon
) -> None:
    """SELECT first, then row security: with each statement that it names it comes further."""
    role = f"reader_{database.name}"
    connection.execute(f"create role {role} login password 'reader'".encode())
    dsn = make_conninfo(database.dsn, user=role, password="reader")  # noqa: S106 - of this test
    daemon = start_daemon(HOTELS, source=POLLING | {"dsn": dsn}, start=False)
    granted = refused_with(daemon.file, f"the role {role} may not read table public.hotel. Run: ")
    connection.execute(granted.encode())
    connection.execute("alter table hotel enable row level security")
    bypassed = refused_with(daemon.file, "that it hides would count as deleted. Run: ")
    assert bypassed == f"alter role {role} bypassrls"
    connection.execute(bypassed.encode())
    daemon.start()
    daemon.wait_until("streaming")
    assert daemon.terminate() == 0
    connection.execute(f"drop owned by {role}; drop role {role}".encode())


def refused_with(file: object, said: str) -> str:
    """What `run` and `check` say that is to be run, behind that."""
    refused = command("run", str(file))
    assert refused.returncode == 3, refused.stderr
    told = " ".join(refused.stderr.split())
    assert said in told
    checked = command("check", str(file), "--output", "json")
    assert checked.returncode != 0
    assert said in checked.stdout
    return told.partition(said)[2]


def test_a_server_that_goes_away_is_waited_for(
    database: Database,
    connection: psycopg.Connection[Any],
    start_daemon: StartDaemon,
    tables: TableSearch,
) -> None:
    """The state says so, the delay rises, and the next poll finds what was committed before."""
    daemon = start_daemon(HOTELS, source=POLLING)
    daemon.wait_until("streaming")
    daemon.catch_up()
    connection.execute("insert into hotel values (2, 'Plaza')")
    database.server.kill()
    try:
        daemon.wait_until("waiting")
        assert daemon.health("readyz")[0] == 503
        assert daemon.health("livez")[0] == 200
        until(lambda: daemon.delay() > 2, 60, "the delay rises")
    finally:
        database.server.start()
    with psycopg.connect(database.dsn, autocommit=True) as again:
        again.execute("delete from hotel where id = 1")
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert names(tables) == {"2": "Plaza"}


def test_a_table_that_changes_while_it_is_polled(
    connection: psycopg.Connection[Any], start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """Added, retyped and renamed columns are followed in place; one that is gone stops the daemon,
    which says which, and goes on once it is back.
    """  # noqa: D205 - one sentence
    daemon = start_daemon(HOTELS, source=POLLING)
    daemon.wait_until("streaming")
    connection.execute("alter table hotel add column stars int default 3")
    connection.execute("alter table hotel alter column name type varchar(20)")
    connection.execute("insert into hotel values (2, 'Plaza')")
    until(lambda: names(tables) == {"1": "Ritz", "2": "Plaza"}, 60, "it is followed")
    daemon.wait_until("streaming")
    connection.execute("alter table hotel rename column name to called")
    assert daemon.wait(180) == 2
    assert "table public.hotel has no column name" in daemon.said()
    connection.execute("alter table hotel rename column called to name")
    connection.execute("update hotel set name = 'Grand' where id = 1")
    daemon.start()
    daemon.wait_until("streaming")
    until(lambda: names(tables) == {"1": "Grand", "2": "Plaza"}, 60, "it goes on")
