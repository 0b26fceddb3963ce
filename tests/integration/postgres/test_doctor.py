"""What `cdc-daemon check` finds in a PostgreSQL source: with what mends it, and nothing touched."""

from __future__ import annotations

import re
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from cdc_daemon.ports import Doctor, Finding, TableRequest
from connectors.postgres import PostgresSource
from tests.integration.postgres.conftest import (
    Connection,
    MakeRole,
    MakeSource,
    describe,
    start,
    untouched,
    with_settings,
)

if TYPE_CHECKING:
    from tests.conftest import Database, StartPostgres

WELL: dict[str, str | int] = {"max_slot_wal_keep_size": "10GB"}


@pytest.fixture
def item(connection: Connection) -> None:
    """An ordinary table."""
    connection.execute("create table item (id int primary key, name text)")


def examined(source: PostgresSource, *tables: str) -> list[Finding]:
    """All findings over the tables with all of their columns."""
    return list(source.examine(source.describe([TableRequest(table) for table in tables])))


def alarms(source: PostgresSource, *tables: str) -> dict[str, str]:
    """What is not ok, by check; its level first."""
    found = [each for each in examined(source, *tables) if each.level != "ok"]
    return {each.check: f"{each.level}: {each.message}" for each in found}


def run(connection: Connection, message: str, user: str = "") -> None:
    """The SQL that a message tells to run."""
    script = re.split(r"[Rr]un(?:,? [^:]*)?: |: (?=select )", message)[-1]
    if user:
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(user)))
    for statement in script.split("; "):
        if statement.startswith(("alter", "grant", "select", "create", "rollback")):
            connection.execute(statement.encode())
    connection.execute("reset role")


def test_a_source_is_a_doctor(source: PostgresSource) -> None:
    """That is how the daemon knows whom it can ask."""
    assert isinstance(source, Doctor)


def test_nothing_is_wrong_before_the_first_start_nor_after_it(
    private_postgres: StartPostgres, make_source: MakeSource
) -> None:
    """Every check is ok, says what it looked at, and touches nothing."""
    server = private_postgres(settings=WELL)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, name text)")
        source = make_source(server.dsn, slot="well")
        with untouched(connection):
            found = examined(source, "item")
        assert [each for each in found if each.level != "ok"] == []
        assert {each.check for each in found} >= {
            *("connection", "replication connection", "version", "wal_level", "role", "encoding"),
            *("max_replication_slots", "max_wal_senders", "max_slot_wal_keep_size", "clock"),
            *("wal_sender_timeout", "logical_decoding_work_mem", "synchronous_standby_names"),
            *("session timeouts", "open transactions", "table public.item", "publication pub"),
            "slot well",
        }
        start(source, "item")
        found = examined(make_source(server.dsn, slot="well"), "item")
        assert [each for each in found if each.level != "ok"] == []
        followed = next(each for each in found if each.check == "slot well")
        assert followed.message.startswith("a daemon follows it")
        source.close()
        found = examined(source, "item")
        assert [each for each in found if each.level != "ok"] == []


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
            pytest.skip(f"[of the machine] this PostgreSQL has no {name}")
        set_for_all(connection, name, value)
        said = alarms(source)[name]
        assert re.match(says, said)
        run(connection, said)
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


@pytest.mark.usefixtures("item")
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


@pytest.mark.usefixtures("item")
def test_a_role_with_too_few_rights(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """Replication, SELECT and the publication: all at once, and the SQL of each mends it."""
    name, dsn = make_role("login")
    source = make_source(dsn)
    with untouched(connection):
        said = alarms(source, "item")
    assert said["replication connection"].startswith("problem: ")
    assert "pg_hba.conf" in said["replication connection"]
    for check in ("role", "table public.item"):
        run(connection, said[check])
    assert "publication.manage to false" in said["publication pub"]
    run(connection, said["publication pub"].replace("false: ", "Run: "))
    source.close()
    left = alarms(make_source(dsn, publication={"manage": False}), "item")
    assert set(left) <= {"max_slot_wal_keep_size"}
    assert name in said["role"]


@pytest.mark.usefixtures("item")
def test_a_role_that_owns_the_tables(
    connection: Connection, database: Database, make_source: MakeSource, make_role: MakeRole
) -> None:
    """It makes the publication by itself, if it may create in the database."""
    name, dsn = make_role()
    role, base = sql.Identifier(name), sql.Identifier(database.name)
    connection.execute(sql.SQL("alter table item owner to {}").format(role))
    source = make_source(dsn)
    assert "may not make it so" in alarms(source, "item")["publication pub"]
    connection.execute(sql.SQL("grant create on database {} to {}").format(base, role))
    found = {each.check: each for each in examined(source, "item")}["publication pub"]
    assert found.level == "ok"
    assert found.message.startswith("the first start makes it: create publication")
    source.prepare(source.describe([TableRequest("item")]))
    assert "publication pub" not in alarms(source, "item")


@pytest.mark.usefixtures("item")
def test_row_security_and_timeouts_of_the_role(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """Rows that would be hidden are a problem, and a timeout that would cut the load is named."""
    name, dsn = make_role("login replication connection limit 2")
    role = sql.Identifier(name)
    connection.execute("alter table item enable row level security")
    connection.execute(sql.SQL("grant select on item to {}").format(role))
    connection.execute(sql.SQL("alter role {} set statement_timeout = '5s'").format(role))
    source = make_source(dsn)
    said = alarms(source, "item")
    assert "bypassrls" in said["table public.item"]
    assert said["session timeouts"].startswith("warning: statement_timeout: ")
    assert said["connection limit"].startswith("problem: ")
    run(connection, said["table public.item"])
    run(connection, said["session timeouts"], name)
    source.close()
    left = alarms(make_source(dsn), "item")
    assert {"table public.item", "session timeouts"} & set(left) == set()


@pytest.mark.parametrize(
    ("ddl", "says"),
    [
        ("create table t (id int)", "problem: .*no primary key"),
        ("create unlogged table t (id int primary key)", "problem: .*unlogged"),
        ("create view t as select 1 as id", "problem: .*is a view"),
        (
            "create table t (id int primary key, n int generated always as (id * 2) stored)",
            "problem: .*generated columns",
        ),
        (
            (
                "create table t (id int primary key) partition by list (id); "
                "create table p1 partition of t for values in (1); "
                "alter table p1 replica identity nothing"
            ),
            "problem: .*public.p1 has no usable replica identity",
        ),
        (
            (
                "create table t (id int primary key, doc text); "
                "alter table t alter doc set storage external; "
                "insert into t values (1, repeat('x', 10000))"
            ),
            r"warning: it keeps [0-9,]+ bytes of values out of line .* perhaps of doc",
        ),
    ],
)
@pytest.mark.usefixtures("item")
def test_tables(connection: Connection, source: PostgresSource, ddl: str, says: str) -> None:
    """What can't be followed, or stops later; the table beside it is fine."""
    connection.execute(ddl.encode())
    with untouched(connection):
        said = alarms(source, "item", "t")
    assert re.match(says, said["table public.t"])
    assert "table public.item" not in said


def test_large_values_with_their_whole_row_are_fine(
    connection: Connection, source: PostgresSource
) -> None:
    """With REPLICA IDENTITY FULL nothing is left out, so nothing is said."""
    connection.execute("create table t (id int primary key, doc text)")
    connection.execute("alter table t alter doc set storage external")
    connection.execute("insert into t values (1, repeat('x', 10000))")
    run(connection, alarms(source, "t")["table public.t"])
    assert "table public.t" not in alarms(source, "t")


@pytest.mark.usefixtures("item")
def test_publications(connection: Connection, make_source: MakeSource) -> None:
    """Row filters and column lists are a problem; a table that is missing costs the slot."""
    connection.execute("create table other (id int primary key)")
    source = make_source()
    start(source, "other")
    source.close()
    assert "loads everything anew: alter publication" in alarms(source, "item")["publication pub"]
    verifying = make_source(publication={"manage": False})
    said = alarms(verifying, "item")["publication pub"]
    assert said.startswith("problem: ")
    connection.execute("alter publication pub add table item where (id > 1)")
    assert "only rows where" in alarms(source, "item")["publication pub"]
    connection.execute("alter publication pub set table other, item (id)")
    assert "not the mapped columns name" in alarms(source, "item")["publication pub"]


@pytest.mark.usefixtures("item")
def test_slots(connection: Connection, database: Database, make_source: MakeSource) -> None:
    """Held by another process, or someone else's; and what a stopped daemon's keeps."""
    source = make_source(wal={"limit": "50GB"})
    start(source, "item")
    check = f"slot {database.name}"
    connection.execute(
        "select pg_logical_emit_message(true, 'test', repeat('x', 1000000))"
        " from generate_series(1, 3)"
    )
    small = make_source(wal={"warn": "1MB", "limit": "50GB"})
    assert "source.wal.warn is 1,000,000" in alarms(small, "item")[check]
    source.close()
    found = [each for each in examined(make_source(), "item") if each.check == check]
    assert [each.level for each in found] == ["ok"]
    assert "nobody reads it" in found[0].message
    elsewhere = make_source(with_settings(database.dsn, dbname="postgres"))
    said = {each.check: each for each in elsewhere.examine([])}[check]
    assert said.level == "problem"
    assert f"a pgoutput slot of database {database.name}" in said.message
    stranger = PostgresSource(make_source()._config, pipeline="stranger")
    relations = describe(stranger, "item")
    place = stranger.place()
    assert place is not None
    stranger.start(relations, place)
    assert "(cdc-daemon:stranger) reads from it" in alarms(make_source(), "item")[check]
    stranger.close()


def test_a_lost_slot_is_a_warning(private_postgres: StartPostgres, make_source: MakeSource) -> None:
    """The next start makes it anew: whoever looks learns it before."""
    server = private_postgres(settings={"max_slot_wal_keep_size": "1MB"})
    source = make_source(server.dsn, slot="lost_one")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, name text)")
        start(source, "item")
        source.close()
        for number in range(4):
            connection.execute("select pg_switch_wal()")
            connection.execute("insert into item values (%s)", [number])
            connection.execute("checkpoint")
    assert alarms(source, "item")["slot lost_one"].startswith("warning: it is lost")


@pytest.mark.usefixtures("item")
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
        run(connection, said)
        connection.execute("begin; insert into item values (2); prepare transaction 'left''over'")
        said = alarms(source, "item")["open transactions"]
        assert "was prepared" in said
        run(connection, said.replace("in that database: ", "Run: "))
        assert alarms(source, "item") == {}


@pytest.mark.usefixtures("item")
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
