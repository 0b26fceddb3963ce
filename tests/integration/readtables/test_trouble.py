"""What goes wrong around read tables: said clearly, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.generators.daemons import daemons
from tests.generators.forked import command
from tests.generators.read_tables import TableSearch
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Database, StartPostgres
    from tests.generators.daemons import StartDaemon

ITEMS: dict[str, Any] = {"items": {"from": "public.item", "fields": ["id", "name"]}}
TABLE = "create table item (id int primary key, name text); insert into item values (1, 'one')"


def names(tables: TableSearch) -> dict[str, Any]:
    """Of the items that are shown."""
    return {row[0]: row[1] for row in tables.rows("select _id, name from read_models.items")}


def test_a_role_that_may_not_make_tables_is_told_what_is_lacking(
    database: Database, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """With the statement it names the daemon starts; the schema is somebody's who is there."""
    role = f"sink_{database.name}"
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLE.encode())
        connection.execute(f"create role {role} login password 'sink'".encode())
        dsn = make_conninfo(database.dsn, user=role, password="sink")  # noqa: S106 - of this test
        daemon = start_daemon(ITEMS, sink={"dsn": dsn}, start=False)
        refused = command("run", str(daemon.file))
        assert refused.returncode == 4
        told = " ".join(refused.stderr.split())
        said = f"the role {role} may not make one. Run as the owner of the database: "
        assert said in told
        connection.execute(told.partition(said)[2].encode())
        daemon.start()
        daemon.wait_until("streaming")
        assert names(tables) == {"1": "one"}
        connection.execute(f"revoke create on schema read_models from {role}".encode())
        assert daemon.terminate() == 0
        connection.execute(
            f"alter schema read_models owner to current_user; "
            f"revoke create on schema read_models from {role}".encode()
        )
        refused = command("run", str(daemon.file))
        assert refused.returncode == 4
        told = " ".join(refused.stderr.split())
        said = "may not make tables in the schema read_models. Run as its owner: "
        connection.execute(told.partition(said)[2].encode())
        daemon.start()
        daemon.wait_until("streaming")
        assert daemon.terminate() == 0
        connection.execute(f"drop owned by {role} cascade; drop role {role}".encode())


def test_a_server_that_goes_away_is_waited_for(
    database: Database, private_postgres: StartPostgres, tmp_path: Path
) -> None:
    """The delay rises, the source keeps what isn't there yet, and then all of it is."""
    server = private_postgres()
    tables = TableSearch(server.dsn)
    sink = {"type": "postgres", "dsn": server.dsn}
    with (
        psycopg.connect(database.dsn, autocommit=True) as connection,
        daemons(database.dsn, sink, tmp_path) as start,
    ):
        connection.execute(TABLE.encode())
        daemon = start(ITEMS)
        daemon.wait_until("streaming")
        daemon.catch_up()
        server.kill()
        connection.execute("update item set name = 'new'; insert into item values (2, 'two')")
        until(lambda: daemon.events("sink_retry"), 60, "it says that it tries again")
        until(lambda: daemon.delay() > 2, 60, "the delay rises")
        assert daemon.health("livez")[0] == 200
        server.start()
        daemon.catch_up()
        assert names(tables) == {"1": "new", "2": "two"}
        assert daemon.status()["dead_letters"] == 0


def test_a_table_that_somebody_drops_is_loaded_anew(
    database: Database, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """The daemon stops and says so, with nothing made a dead letter; the next start fills another
    one.
    """  # noqa: D205 - one sentence
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLE.encode())
        daemon = start_daemon(ITEMS)
        daemon.wait_until("streaming")
        daemon.catch_up()
        connection.execute("drop table read_models.items_000001 cascade")
        connection.execute("insert into item values (2, 'two')")
        assert daemon.wait(180) == 4
        assert "items_000001" in daemon.said().splitlines()[-1]
        daemon.start()
        daemon.wait_until("streaming")
        daemon.catch_up()
        assert names(tables) == {"1": "one", "2": "two"}
        assert daemon.status()["dead_letters"] == 0
