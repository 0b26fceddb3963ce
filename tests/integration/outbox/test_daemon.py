"""The daemon with an outbox, from the command that installs it to the one that removes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators.forked import command
from tests.generators.running_daemon import until
from tests.generators.waits import committed

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

HOTELS: dict[str, Any] = {
    "hotels": {
        "from": "public.hotel",
        "fields": ["id", "name"],
        "embed": {
            "rooms": {"many": "public.room", "on": {"hotel_id": "id"}, "fields": ["id", "price"]}
        },
    },
    "names": {"from": "public.hotel", "fields": ["id", "name"]},
}
TABLES = (
    "create table hotel (id int primary key, name text);"
    "create table room (id int primary key, hotel_id int, price numeric);"
    "insert into hotel select g, 'hotel ' || g from generate_series(1, 100) g;"
    "insert into room select g, g % 100 + 1, g from generate_series(1, 300) g"
)
OUTBOX = {"type": "outbox", "poll_interval": "200ms"}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command."""
    return command(*map(str, arguments))


def installed(daemon: RunningDaemon) -> None:
    """By the command."""
    done = run("outbox", "install", daemon.file)
    assert done.returncode == 0, done.stderr


def require_same(rest: Rest, connection: psycopg.Connection[Any]) -> None:
    """Every document shows its row, and its rooms."""
    rest.post("/hotels,names/_refresh")
    meant = connection.execute(
        "select id::text, jsonb_build_object('id', id, 'name', name, 'rooms', coalesce((select "
        "jsonb_agg(jsonb_build_object('id', r.id, 'price', r.price) order by r.id) from room r "
        "where r.hotel_id = h.id), '[]')) from hotel h"
    ).fetchall()
    for index in ("hotels", "names"):
        found = rest.post(f"/{index}/_search", {"size": 1000})["hits"]["hits"]
        shown = {hit["_id"]: hit["_source"] for hit in found}
        wanted = {key: dict(row) for key, row in meant}
        if index == "names":
            wanted = {key: {"id": row["id"], "name": row["name"]} for key, row in wanted.items()}
        assert shown == wanted


def write(connection: psycopg.Connection[Any], number: int) -> None:
    """Something of everything."""
    with connection.transaction():
        connection.execute("update hotel set name = name || '!' where mod(id, 10) = %s", [number])
        connection.execute("insert into hotel values (%s, 'new')", [1000 + number])
        connection.execute("delete from hotel where id = %s", [number + 20])
        connection.execute("update room set hotel_id = %s where id = %s", [1000 + number, number])


def waited(daemon: RunningDaemon, rest: Rest, token: str) -> None:
    """As clients do."""
    answer = type(rest)(daemon.url).get(f"/api/v1/wait?token={token}&timeout=60s")
    assert answer["reached"], answer


def install_where_it_is_lacking(daemon: RunningDaemon) -> None:
    """Until then every command says what to do."""
    refused = run("run", daemon.file)
    assert refused.returncode == 3
    assert "cdc-daemon outbox install" in refused.stderr
    assert run("outbox", "status", daemon.file).returncode == 3
    assert run("check", daemon.file).returncode != 0
    installed(daemon)
    installed(daemon)
    assert run("check", daemon.file).returncode == 0


def remove_once_it_has_ended(daemon: RunningDaemon) -> None:
    """Refused while it runs."""
    assert run("outbox", "remove", daemon.file).returncode == 3
    assert daemon.terminate() == 0
    assert run("outbox", "remove", daemon.file).returncode == 0


def test_from_installing_to_removing(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
) -> None:
    """Refused until installed; then loaded, followed, waited for, killed, and cut off."""
    daemon = start_daemon(HOTELS, source=OUTBOX, start=False)
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLES)
        install_where_it_is_lacking(daemon)
        daemon.start()
        daemon.wait_until("streaming")
        write(connection, 0)
        waited(daemon, rest, committed(database.dsn, "select 1"))
        require_same(rest, connection)
        status = json.loads(run("outbox", "status", "--output", "json", daemon.file).stdout)
        assert (status["installed"], status["lacking"]) == (True, [])
        assert "server process" in status["read_by"]
        daemon.kill()
        write(connection, 1)
        daemon.start()
        daemon.wait_until("streaming")
        write(connection, 2)
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
            "and datname = current_database()"
        )
        write(connection, 3)
        waited(daemon, rest, committed(database.dsn, "select 1"))
        require_same(rest, connection)
        assert daemon.delay() < 60
        remove_once_it_has_ended(daemon)
        left = "select count(*) from pg_trigger where not tgisinternal"
        assert connection.execute(left).fetchall() == [(0,)]
        write(connection, 4)


def test_another_technique_for_the_same_pipeline(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
) -> None:
    """From replication to the outbox: loaded anew without a gap, the mapping as it was."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLES)
        before = start_daemon(HOTELS)
        before.wait_until("streaming")
        before.catch_up()
        assert before.terminate() == 0
        write(connection, 0)
        daemon = start_daemon(HOTELS, source=OUTBOX, start=False)
        installed(daemon)
        daemon.start()
        write(connection, 1)
        daemon.wait_until("streaming")
        daemon.catch_up()
        require_same(rest, connection)


def test_a_table_that_changes_while_it_is_followed(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
) -> None:
    """Renamed and retyped columns, and a trigger that was disabled: nothing is lost."""
    daemon = start_daemon(HOTELS, source=OUTBOX, start=False)
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLES)
        installed(daemon)
        daemon.start()
        daemon.wait_until("streaming")
        connection.execute("alter table hotel add column stars int default 3")
        write(connection, 0)
        connection.execute("update hotel set name = 'old' where id = 50")
        with connection.transaction():
            connection.execute("alter table hotel rename column name to former")
            connection.execute("alter table hotel add column name text default 'all'")
            connection.execute("update hotel set name = former || ' again' where id = 50")
        write(connection, 1)
        with connection.transaction():
            connection.execute("alter table room disable trigger user")
            connection.execute("delete from room where id > 200")
            connection.execute('alter table room enable always trigger "0_cdc_daemon_row"')
            connection.execute('alter table room enable always trigger "0_cdc_daemon_truncate"')
        until(lambda: same(daemon, rest, connection), 60, "the documents are right")
        write(connection, 2)
        daemon.wait_until("streaming")
        daemon.catch_up()
        require_same(rest, connection)


def same(daemon: RunningDaemon, rest: Rest, connection: psycopg.Connection[Any]) -> bool:
    """Whether the documents are right by now."""
    try:
        daemon.catch_up()
        require_same(rest, connection)
    except AssertionError:
        return False
    return True
