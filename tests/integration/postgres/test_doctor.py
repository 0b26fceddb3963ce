"""What `cdc-daemon check` finds in a PostgreSQL source: with what mends it, and nothing touched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from cdc_daemon.ports import Doctor, TableRequest
from connectors.postgres import PostgresSource
from tests.integration.postgres.conftest import (
    Connection,
    MakeRole,
    MakeSource,
    alarms,
    describe,
    examined,
    run_advice,
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
        left = next(each for each in found if each.check == "slot well")
        assert "cdc-daemon plan" in left.message, "the checkpoint isn't looked at"


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
        run_advice(connection, said[check])
    assert "publication.manage to false" in said["publication pub"]
    run_advice(connection, said["publication pub"].replace("false: ", "Run: "))
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
    for check in ("table public.item", "session timeouts", "connection limit"):
        run_advice(connection, said[check])
    source.close()
    left = alarms(make_source(dsn), "item")
    assert {"table public.item", "session timeouts", "connection limit"} & set(left) == set()
    connection.execute(sql.SQL("alter role {} connection limit 5").format(role))
    assert alarms(make_source(dsn), "item")["connection limit"].startswith("warning: ")


@pytest.mark.parametrize(
    ("ddl", "says"),
    [
        ("create table t (id int)", "problem: .*no primary key"),
        ("create unlogged table t (id int primary key)", "problem: .*unlogged"),
        ("create view t as select 1 as id", "problem: .*is a view"),
        (
            (
                "create table t (id int primary key) partition by list (id); "
                "create table p1 partition of t for values in (1); "
                "alter table p1 replica identity nothing"
            ),
            "problem: .*public.p1 has no usable replica identity",
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


@pytest.mark.usefixtures("item")
def test_publications(connection: Connection, make_source: MakeSource) -> None:
    """Row filters and column lists are a problem; what else was left out costs the slot."""
    connection.execute("create table other (id int primary key)")
    source = make_source()
    start(source, "other")
    source.close()
    assert "publication pub" not in alarms(source, "item")
    connection.execute("alter publication pub set (publish = 'insert')")
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
