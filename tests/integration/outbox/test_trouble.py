"""What goes wrong around a daemon that reads an outbox: said clearly, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cdc_daemon.client import outbox
from cdc_daemon.errors import SourceError
from cdc_daemon.ports import TableRequest
from tests.generators.daemons import StartDaemon, daemons
from tests.generators.forked import command
from tests.generators.outbox_rows import Added
from tests.generators.read_tables import TableSearch
from tests.generators.running_daemon import until
from tests.integration.outbox.conftest import ITEM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database
    from tests.integration.outbox.conftest import Connection, MakeOutbox

ITEMS: dict[str, Any] = {"items": {"from": "public.item", "fields": ["id", "price"]}}
PRICED = "create table item (id int primary key, price numeric(10, 2))"
WRITTEN: dict[str, Any] = {
    "type": "outbox",
    "poll_interval": "100ms",
    "written_by_applications": ["item"],
}


@pytest.fixture
def tables(database: Database) -> TableSearch:
    """Queries of the read tables in the test's database."""
    return TableSearch(database.dsn)


@pytest.fixture
def start_daemon(database: Database, tmp_path: Path) -> Iterator[StartDaemon]:
    """Run daemons whose read tables are in the database that they follow."""
    sink = {"type": "postgres", "dsn": database.dsn}
    with daemons(database.dsn, sink, tmp_path) as make:
        yield make


def shown(tables: TableSearch) -> dict[str, Any]:
    """Prices by their items."""
    return {row[0]: row[1] for row in tables.rows("select _id, price from read_models.items")}


@pytest.fixture
def role(database: Database, connection: Connection) -> Iterator[str]:
    """One that may log in, and read the table."""
    name = f"d_{database.name}"
    connection.execute(f"{ITEM}; create role {name} login password '{name}'".encode())
    connection.execute(f"grant select on item to {name}".encode())
    yield name
    connection.execute(f"drop owned by {name}; drop role {name}".encode())


def test_a_role_that_may_not_read_the_outbox_is_told_what_is_lacking(
    database: Database, connection: Connection, make_outbox: MakeOutbox, role: str
) -> None:
    """Before anything is begun, with the statements that make it follow."""
    dsn = make_conninfo(database.dsn, user=role, password=role)
    make_outbox("item")
    lacking = make_outbox(install=False, dsn=dsn)
    relations = lacking.describe([TableRequest("item")])
    with pytest.raises(SourceError, match="may not read the outbox in schema cdc_daemon") as told:
        lacking.prepare(relations)
    assert any(told.value.args[0] == each.message for each in lacking.examine(relations))
    statements = str(told.value).partition("Run as its owner: ")[2]
    connection.execute(statements.encode())
    added = Added(make_outbox(install=False, dsn=dsn), "item")
    added.begin()
    connection.execute("insert into item values (1, 'a')")
    added.follow()
    assert added.rows == {1: ["a"]}
    connection.execute(
        sql.SQL("revoke truncate on cdc_daemon.change_2 from {}").format(sql.Identifier(role))
    )
    with pytest.raises(SourceError, match="or not clean it"):
        added.source.prepare(relations)
    added.source.close()


def test_a_server_that_goes_away_is_waited_for(
    database: Database, connection: Connection, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """The state says so, the delay rises, and what was committed before is there afterwards."""
    connection.execute(f"{PRICED}; insert into item values (1, 1)".encode())
    daemon = start_daemon(ITEMS, source={"type": "outbox"}, start=False)
    assert command("outbox", "install", str(daemon.file)).returncode == 0
    daemon.start()
    daemon.wait_until("streaming")
    connection.execute("insert into item values (2, 2)")
    server = database.server
    server.kill()
    try:
        daemon.wait_until("waiting")
        assert daemon.health("readyz")[0] == 503
        assert daemon.health("livez")[0] == 200
        until(lambda: daemon.delay() > 2, 60, "the delay rises")
    finally:
        server.start()
    with psycopg.connect(database.dsn, autocommit=True) as again:
        again.execute("insert into item values (3, 3)")
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert shown(tables) == {"1": 1, "2": 2, "3": 3}


def test_a_value_that_is_none_is_one_dead_letter(
    connection: Connection, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """What an application has written doesn't fit its column: the others of its transaction go
    on, and once it is written rightly it shows.
    """  # noqa: D205 - one sentence
    connection.execute(f"{PRICED}; insert into item values (1, 1), (2, 2)".encode())
    daemon = start_daemon(ITEMS, source=WRITTEN, start=False)
    assert command("outbox", "install", str(daemon.file)).returncode == 0
    daemon.start()
    daemon.wait_until("streaming")
    with connection.transaction():
        connection.execute("update item set price = 3")
        outbox.add(connection, "public.item", row={"id": 1, "price": "much"})
        outbox.add(connection, "public.item", row={"id": 2, "price": "3.00"})
    daemon.catch_up()
    assert shown(tables) == {"1": 1, "2": 3}
    assert daemon.status()["dead_letters"] == 1
    said = command("deadletters", "list", str(daemon.file)).stdout
    assert "invalid_value" in said
    outbox.add(connection, "public.item", row={"id": 1, "price": "3.00"})
    daemon.catch_up()
    assert shown(tables) == {"1": 3, "2": 3}


def test_the_command_follows_who_writes_the_outbox(
    connection: Connection, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """Triggers go where the application takes over, and come back; each time all is loaded anew."""
    connection.execute(f"{PRICED}; insert into item values (1, 1)".encode())
    triggers = "select count(*) from pg_trigger where not tgisinternal"
    by_triggers: tuple[dict[str, Any], int, str] = ({"type": "outbox"}, 2, "triggers note")
    by_application = (WRITTEN, 0, "the application itself writes")
    techniques = (by_triggers, by_application, by_triggers)
    for number, (source, count, how) in enumerate(techniques):
        daemon = start_daemon(ITEMS, source=source, start=False)
        installed = command("outbox", "install", str(daemon.file))
        assert f"{how} what becomes of public.item" in installed.stdout
        assert connection.execute(triggers).fetchone() == (count,)
        connection.execute("update item set price = %s", [10 + number])
        daemon.start()
        daemon.wait_until("streaming")
        daemon.catch_up()
        assert shown(tables) == {"1": 10 + number}
        assert command("check", str(daemon.file)).returncode == 0
        assert daemon.terminate() == 0


def test_a_table_that_nobody_maps_is_a_mistake_of_the_configuration(
    connection: Connection, start_daemon: StartDaemon
) -> None:
    """Every command says which one is meant, and where it stands."""
    connection.execute(PRICED.encode())
    source = {"type": "outbox", "written_by_applications": ["public.itm"]}
    daemon = start_daemon(ITEMS, source=source, start=False)
    meant = "names the table public.itm, which no mapping reads; did you mean public.item?"
    for arguments in (("outbox", "install"), ("run",)):
        refused = command(*arguments, str(daemon.file))
        assert refused.returncode == 2, refused.stderr
        assert meant in " ".join(refused.stderr.split())
    checked = command("check", str(daemon.file))
    assert meant in " ".join((checked.stdout + checked.stderr).split())
