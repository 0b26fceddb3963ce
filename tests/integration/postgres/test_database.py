"""What every source in a database needs, with a role that may only read."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cdc_daemon.errors import RetryError, SlotInUseError, SourceError
from cdc_daemon.events import NOWHERE
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from connectors.postgres.database import Database, take_lock
from connectors.postgres.puredriver import StatementError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database as TestDatabase


@pytest.fixture
def role(database: TestDatabase) -> Iterator[str]:
    """A role with no rights but those of everybody."""
    name = f"r_{database.name}"
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create role {} login password {}").format(
                sql.Identifier(name), sql.Literal(name)
            )
        )
        yield name
    with psycopg.connect(database.server.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("alter role {} nologin").format(sql.Identifier(name)))


@pytest.fixture
def plain(database: TestDatabase, role: str) -> Iterator[Database]:
    """The database as that role has it."""
    dsn = make_conninfo(database.dsn, user=role, password=role)
    with closing(Database(dsn, "cdc-daemon test")) as made:
        yield made


def test_the_history_is_known_without_replication(database: TestDatabase, plain: Database) -> None:
    """It is the one that a replication connection tells, and shared as far as the log goes."""
    config = PostgresConfig.model_validate({"type": "postgres", "dsn": database.dsn})
    with closing(PostgresSource(config, pipeline="t")) as source:
        assert str(plain.identity()) == source.identity()
        assert plain.shared_until(source.identity()) > NOWHERE
    assert plain.shared_until("1/1") == NOWHERE
    system = str(plain.identity()).partition("/")[0]
    with pytest.raises(RetryError, match="before a failover"):
        plain.shared_until(f"{system}/9")
    assert plain.token_reader().epoch == str(plain.identity())


def test_values_come_as_the_server_writes_them(plain: Database) -> None:
    """In the session that values are decoded under, and of several statements one by one."""
    with closing(plain.session()) as session:
        [line] = session.rows(
            "select 1.50::numeric, null, true, 'a''b', timestamptz '2026-01-02 03:04:05+02', "
            "interval '1 day', 0.1::float8, '\\x00ff'::bytea, array[1, null], 'NaN'::float4"
        )
        assert line == (
            *("1.50", None, "t", "a'b", "2026-01-02 01:04:05+00", "P1D", "0.1", "\\x00ff"),
            *("{1,NULL}", "NaN"),
        )
        assert session.rows("select 1; select 2, 3") == [("1",), ("2", "3")]
        assert session.rows("set local work_mem = '1MB'") == []


def test_what_is_refused_says_so_and_the_session_goes_on(plain: Database) -> None:
    """With the server's words, and its code for those who know what to do."""
    with closing(plain.session()) as session:
        with pytest.raises(StatementError, match=r"could not try it.*nothing") as caught:
            session.rows("select * from nothing", "try it")
        assert caught.value.sqlstate == "42P01"
        with pytest.raises(SourceError, match="the role may not look"):
            session.rows("select * from pg_authid", "look")
        assert session.rows("select 1") == [("1",)]


def test_a_lost_session_is_retried(database: TestDatabase, plain: Database) -> None:
    """It is closed, and another one can be made."""
    session = plain.session()
    [(pid,)] = session.rows("select pg_backend_pid()")
    with psycopg.connect(database.dsn) as connection:
        connection.execute("select pg_terminate_backend(%s)", [int(pid or 0)])
    with pytest.raises(RetryError):
        session.rows("select 1")
    with pytest.raises(RetryError):
        session.rows("select 1")
    with closing(plain.session()) as other:
        assert other.rows("select 1") == [("1",)]
    session.close()


def test_a_wait_ends_when_notified_or_woken(database: TestDatabase, plain: Database) -> None:
    """Long before its time; otherwise at its time."""
    wake = os.eventfd(0)
    with closing(plain.session()) as session:
        session.rows("listen here")
        began = time.monotonic()
        session.wait(wake, 0.05)
        assert not session.take_notifications()
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute("notify here")
        session.wait(wake, 120)
        session.rows("select 1")
        assert session.take_notifications()
        assert not session.take_notifications()
        threading.Timer(0.05, os.eventfd_write, (wake, 1)).start()
        session.wait(wake, 120)
        assert time.monotonic() - began < 100
    os.close(wake)


def test_one_session_holds_the_lock(plain: Database) -> None:
    """The next one is told who does, until that one ends."""
    other = Database(plain.dsn, "cdc-daemon other")
    assert other.held_by("the lock") is None
    first, second = plain.session(), other.session()
    take_lock(first, plain, "the lock")
    assert "cdc-daemon test" in (other.held_by("the lock") or "")
    with pytest.raises(SlotInUseError, match="cdc-daemon test"):
        take_lock(second, other, "the lock")
    first.close()
    deadline = time.monotonic() + 60
    while other.held_by("the lock") and time.monotonic() < deadline:
        time.sleep(0.05)
    take_lock(second, other, "the lock")
    for each in (second, other):
        each.close()
