"""What `cdc-daemon check` finds in the settings of a server, its clock and open transactions."""

from __future__ import annotations

import re
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from tests.conftest import OF_THE_MACHINE
from tests.integration.postgres.conftest import (
    Connection,
    MakeSource,
    alarms,
    run_advice,
)

if TYPE_CHECKING:
    from connectors.postgres import PostgresSource
    from tests.conftest import StartPostgres

WELL: dict[str, str | int] = {"max_slot_wal_keep_size": "10GB"}


SETTINGS: list[tuple[str, str, str]] = [
    ("max_slot_wal_keep_size", "-1", "warning: .*max_slot_wal_keep_size = '50GB'"),
    ("wal_sender_timeout", "0", "warning: it is off"),
    ("wal_sender_timeout", "2s", "warning: it is 2000 ms"),
    ("logical_decoding_work_mem", "64kB", "warning: it is 64 kB"),
    ("idle_replication_slot_timeout", "1h", "warning: it is [0-9]+ s"),
    ("synchronous_standby_names", "*", "problem: .*would wait for the daemon"),
    ("synchronous_standby_names", "first 1 (a, *)", "problem: .*would wait for the daemon"),
]


@pytest.mark.parametrize(("name", "value", "says"), SETTINGS)
def test_settings_that_do_harm_later(
    private_postgres: StartPostgres, make_source: MakeSource, name: str, value: str, says: str
) -> None:
    """Each is named, and running what the message says mends it."""
    server = private_postgres()
    source = make_source(server.dsn, slot="settings")
    # Otherwise the very commits of this test would wait.
    with psycopg.connect(
        server.dsn, autocommit=True, options="-c synchronous_commit=local"
    ) as connection:
        if name not in known_settings(connection):
            pytest.skip(f"{OF_THE_MACHINE}this PostgreSQL has no {name}")
        set_for_all(connection, name, value)
        said = alarms(source)[name]
        assert re.match(says, said)
        run_advice(connection, said)
        wait_reloaded(connection, name, value)
    source.close()
    assert name not in alarms(source)


def known_settings(connection: Connection) -> set[str]:
    """What the server's version can be told."""
    return {name for (name,) in connection.execute("select name from pg_settings")}


def set_for_all(connection: Connection, name: str, value: str) -> None:
    """As an administrator does."""
    statement = sql.SQL("alter system set {} = {}")
    connection.execute(statement.format(sql.Identifier(name), sql.Literal(value)))
    before = connection.execute("select current_setting(%s)", [name]).fetchone()
    assert before is not None
    connection.execute("select pg_reload_conf()")
    if before[0] != value:
        wait_reloaded(connection, name, before[0])


def wait_reloaded(connection: Connection, name: str, value: str) -> None:
    """Sessions read a reloaded file between two statements."""
    for _ in range(100):
        shown = connection.execute("select current_setting(%s)", [name]).fetchone()
        if shown is not None and shown[0] != value:
            return
        connection.execute("select pg_sleep(0.05)")
    raise AssertionError(f"{name} is {value} still")


def test_the_limit_of_the_configuration_and_that_of_the_server(
    private_postgres: StartPostgres, make_source: MakeSource
) -> None:
    """A limit of ours that comes after the server's is never reached."""
    server = private_postgres(settings={"max_slot_wal_keep_size": "1GB"})
    for limit, wrong in (("900MB", False), ("5GB", True)):
        source = make_source(server.dsn, slot="limits", wal={"limit": limit})
        found = {each.check: each for each in source.examine([])}["max_slot_wal_keep_size"]
        assert (found.level == "warning") == wrong
        assert ("before source.wal.limit" in found.message) == wrong


def test_replication_connections_and_slots_that_are_taken(
    private_postgres: StartPostgres, make_source: MakeSource
) -> None:
    """With the number that would be enough."""
    settings = {**WELL, "max_wal_senders": 1, "max_replication_slots": 1}
    server = private_postgres(settings=settings)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("select pg_create_physical_replication_slot('taken')")
        said = alarms(make_source(server.dsn, slot="more"))
    assert "all 1 replication slots are taken" in said["max_replication_slots"]
    assert "max_wal_senders = 4" in said["max_wal_senders"]
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("select pg_drop_replication_slot('taken')")


def test_a_server_without_logical_replication(
    private_postgres: StartPostgres, make_source: MakeSource
) -> None:
    """`wal_level` is a problem, and everything else is looked at all the same."""
    server = private_postgres(settings={**WELL, "wal_level": "replica"})
    said = alarms(make_source(server.dsn, slot="none"))
    assert said["wal_level"].startswith("problem: wal_level is replica")
    assert set(said) <= {"wal_level"}


def test_transactions_that_a_slot_would_wait_for(
    private_postgres: StartPostgres,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Open and prepared ones, with what ends them."""
    monkeypatch.setattr("connectors.postgres.serverchecks.LONG_TRANSACTION_SECONDS", 0)
    server = private_postgres(settings={**WELL, "max_prepared_transactions": 2})
    source = make_source(server.dsn, slot="waits")
    with (
        psycopg.connect(server.dsn, autocommit=True) as connection,
        closing(psycopg.connect(server.dsn, application_name="forgotten")) as other,
    ):
        connection.execute("create table item (id int primary key, name text)")
        other.execute("insert into item values (1)")
        said = alarms(source, "item")["open transactions"]
        assert "(forgotten, idle in transaction)" in said
        run_advice(connection, said)
        connection.execute("begin; insert into item values (2); prepare transaction 'left''over'")
        said = alarms(source, "item")["open transactions"]
        assert "was prepared" in said
        run_advice(connection, said.replace("in that database: ", "Run: "))
        assert alarms(source, "item") == {}


def test_failover(
    private_postgres: StartPostgres, make_source: MakeSource, request: pytest.FixtureRequest
) -> None:
    """A server that is too old is a problem; one that isn't should name its standbys' slots."""
    server = private_postgres(settings=WELL)
    said = alarms(make_source(server.dsn, slot="failover", failover=True))
    if request.config.getoption("--postgres") < 17:
        assert said["version"].startswith("problem: ")
    else:
        assert list(said) == ["synchronized_standby_slots"]


def test_a_clock_that_is_wrong(source: PostgresSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """How far, and in which direction."""
    now = time.time
    monkeypatch.setattr("connectors.postgres.serverchecks.time.time", lambda: now() + 3600)
    found = {each.check: each for each in source.examine([])}["clock"]
    assert found.level == "warning"
    assert re.match(r"the server's clock is 3[56]\d\d\.\d+ s behind", found.message)
