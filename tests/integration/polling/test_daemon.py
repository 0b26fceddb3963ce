"""Daemons that poll: what searches find after each poll, with few rights and through crashes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.generators.followed_worlds import How, Servers, play_worlds
from tests.generators.forked import command
from tests.generators.running_daemon import until
from tests.generators.waits import Asker, committed

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from cdc_daemon.embedded import PostgresServer
    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.read_tables import TableSearch

POLLING = {"type": "polling", "interval": "200ms"}
OUTBOX = {"type": "outbox", "poll_interval": "200ms"}
HOTELS: dict[str, Any] = {
    "hotels": {
        "from": "hotel",
        "fields": ["id", "name"],
        "embed": {"rooms": {"many": "room", "on": {"hotel_id": "id"}, "fields": ["kind"]}},
    }
}
TABLES = """
create table hotel (id int primary key, name text);
create table room (id int primary key, hotel_id int, kind text);
insert into hotel values (1, 'Sacher');
insert into room values (1, 1, 'single')
"""


def shown(tables: TableSearch) -> dict[str, Any]:
    """The documents."""
    rows = tables.rows("select _id, _document from read_models.hotels where _document is not null")
    return dict(rows)


def test_random_worlds(
    database: Database,
    postgres_server: PostgresServer,
    start_daemon: StartDaemon,
    tables: TableSearch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Under concurrent transactions documents come to be what SQL makes of the tables.

    Daemon and server, which is source and sink, are killed meanwhile.
    """
    daemon = start_daemon({}, start=False, source=POLLING)
    with capsys.disabled():
        servers = Servers(postgres_server)
        play_worlds(database, daemon, tables, servers, How(each_commit=False))


FLAT: dict[str, Any] = {"hotels": {"from": "hotel", "fields": ["id", "name"]}}
FILLED_COLUMNS = 4
RARELY = {"type": "polling", "interval": "1h"}


def remembered(file: Path) -> list[str]:
    """All that polls have kept, as SQL."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as kept:
        return list(kept.iterdump())


def test_a_preview_changes_nothing(
    database: Database, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """Beside the daemon, of a row that no poll has met; and where no daemon has ever been."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        daemon = start_daemon(FLAT, source=RARELY)
        daemon.wait_until("streaming")
        until(lambda: "1" in shown(tables), 30, "it is loaded")
        (file,) = (daemon.file.parent / "data" / "polling").glob("*.sqlite")
        connection.execute("insert into hotel values (2, 'Bristol')")
        before = remembered(file)
        told = command("preview", "hotels", "2", "-o", "json", str(daemon.file))
        assert json.loads(told.stdout)["document"] == {"id": 2, "name": "Bristol"}
        assert json.loads(told.stdout)["indexed"] is None
        assert remembered(file) == before
    never = start_daemon(FLAT, start=False, folder="never", source=RARELY)
    told = command("preview", "hotels", "1", "-o", "json", str(never.file))
    assert json.loads(told.stdout)["verdict"] == "equal", told.stderr
    assert not list(never.file.parent.glob("**/*.sqlite"))


def test_a_role_that_may_only_select_is_enough(
    database: Database, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """Joined read models are loaded and follow; the status says what polls came to."""
    role = f"reader_{database.name}"
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        connection.execute(f"create role {role} login password 'reader'".encode())
        connection.execute(f"grant select on hotel, room to {role}".encode())
        dsn = make_conninfo(database.dsn, user=role, password="reader")  # noqa: S106 - of this test
        daemon = start_daemon(HOTELS, source=POLLING | {"dsn": dsn})
        daemon.wait_until("streaming")
        daemon.catch_up()
        assert shown(tables) == {"1": {"id": 1, "name": "Sacher", "rooms": [{"kind": "single"}]}}
        connection.execute("update room set hotel_id = 2; insert into hotel values (2, 'Ritz')")
        connection.execute("delete from hotel where id = 1")
        daemon.catch_up()
        assert shown(tables) == {"2": {"id": 2, "name": "Ritz", "rooms": [{"kind": "single"}]}}
        polls = daemon.status()["polls"]
        assert polls["rows_changed"] >= 3
        assert polls["next_at"] > polls["started_at"]
        assert daemon.metrics()["cdc_polls_total"] >= 1
        assert daemon.terminate() == 0
        connection.execute(f"drop owned by {role}; drop role {role}".encode())


def test_the_way_changes_come_can_be_changed(
    database: Database, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """From the log to polls, an outbox, polls and back, with one name and one mapping: loaded anew
    each time, and right.
    """  # noqa: D205 - one sentence
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        for number, source in enumerate(({}, POLLING, OUTBOX, POLLING, {})):
            connection.execute("update room set kind = %s", [str(number)])
            daemon = start_daemon(HOTELS, source=source, start=False)
            if source is OUTBOX:
                installed = command("outbox", "install", str(daemon.file))
                assert installed.returncode == 0, installed.stderr
            daemon.start()
            daemon.wait_until("streaming")
            daemon.catch_up()
            assert shown(tables)["1"]["rooms"] == [{"kind": str(number)}]
            connection.execute("update room set kind = %s", [f"{number}, later"])
            daemon.catch_up()
            assert shown(tables)["1"]["rooms"] == [{"kind": f"{number}, later"}]
            assert daemon.terminate() == 0


def test_columns_that_are_added_and_filled_are_shown(
    database: Database, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """Whoever comes first, a poll or a look at the catalog."""
    by_xmin = POLLING | {"interval": "20ms", "tables": {"hotel": {"by": "xmin"}}}
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        daemon = start_daemon({"hotels": {"from": "hotel", "fields": "*"}}, source=by_xmin)
        daemon.wait_until("streaming")
        daemon.catch_up()
        document: dict[str, Any] = {"id": 1, "name": "Sacher"}
        for number in range(FILLED_COLUMNS):
            document[f"x{number}"] = number
            with connection.transaction():
                connection.execute(f"alter table hotel add x{number} int".encode())
                connection.execute(f"update hotel set x{number} = {number}".encode())
            until(lambda: shown(tables) == {"1": document}, 20, "the value is shown")


def test_another_daemon_waits_for_its_turn(
    database: Database, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """One polls for a pipeline; where the other has nothing that was read, it loads anew."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        first = start_daemon(HOTELS, source=POLLING, standby=True)
        first.wait_until("streaming")
        second = start_daemon(HOTELS, source=POLLING, standby=True, folder="second")
        second.wait_until("standby")
        first.kill()
        second.wait_until("streaming")
        connection.execute("update hotel set name = 'Ritz'")
        second.catch_up()
        until(lambda: shown(tables)["1"]["name"] == "Ritz", 60, "the new name is found")


def test_who_waits_is_waited_for_with_a_poll(
    database: Database, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """On demand, the next poll by the schedule would come in an hour."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        hourly = {"type": "polling", "interval": "1h", "on_demand": True}
        daemon = start_daemon(HOTELS, source=hourly)
        daemon.wait_until("streaming")
        until(lambda: shown(tables), 60, "it is loaded")
        token = committed(database.dsn, "update hotel set name = 'Ritz'")
        assert Asker(daemon.file).ask(token, timeout="60s").status == 200
        assert shown(tables)["1"]["name"] == "Ritz"


def test_a_row_that_makes_no_document_is_one_dead_letter(
    database: Database, start_daemon: StartDaemon, tables: TableSearch
) -> None:
    """Loaded or polled, its neighbours go on; no poll repeats it, and once mended it shows."""
    shares = {"from": "visit", "fields": {"id": None, "share": {"expression": "hits / days"}}}
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table visit (id int primary key, hits int, days int)")
        connection.execute("insert into visit values (1, 4, 2), (2, 4, 0)")
        daemon = start_daemon({"shares": shares}, source=POLLING)
        daemon.wait_until("streaming")
        connection.execute("insert into visit values (3, 4, 0), (4, 4, 1)")
        daemon.catch_up()
        assert share_of(tables) == {"1": 2, "4": 4}
        for share in (3, 5):
            connection.execute("update visit set hits = %s, days = 1 where id = 4", [share])
            daemon.catch_up()
            assert share_of(tables) == {"1": 2, "4": share}
        assert daemon.status()["dead_letters"] == 2
        connection.execute("update visit set days = 1 where days = 0")
        daemon.catch_up()
        assert share_of(tables) == {"1": 2, "2": 4, "3": 4, "4": 5}
        assert daemon.status()["dead_letters"] == 2


def share_of(tables: TableSearch) -> dict[str, Any]:
    """By its visit."""
    query = "select _id, _document -> 'share' from read_models.shares where _document is not null"
    return dict(tables.rows(query))
