from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from cdc_daemon.client import (
    TOKEN_SQL,
    ClientError,
    NotCommittedError,
    Token,
    commit,
    commit_async,
    token_of,
    token_of_async,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database

INSERT = "insert into hotel (name) values ('Ritz')"


@pytest.fixture
def shop(database: Database) -> Database:
    """A database with a table, and a deferred constraint that fails at COMMIT."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(
            "create table hotel (id int generated always as identity primary key, name text, "
            "parent int references hotel deferrable initially deferred)"
        )
    return database


@pytest.fixture
def connection(shop: Database) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection as applications have it: a transaction begins by itself."""
    with psycopg.connect(shop.dsn) as opened:
        yield opened


def hotels(shop: Database) -> int:
    """How many are committed."""
    with psycopg.connect(shop.dsn) as connection:
        row = connection.execute("select count(*) from hotel").fetchone()
    assert row is not None
    return int(row[0])


def position(connection: psycopg.Connection[tuple[object, ...]]) -> Token:
    """What the server says by itself, another way."""
    row = connection.execute(
        "select s.system_identifier || '/' || c.timeline_id || ':' || pg_current_wal_insert_lsn() "
        "from pg_control_system() s, pg_control_checkpoint() c"
    ).fetchone()
    assert row is not None
    return Token.parse(str(row[0]))


@pytest.mark.parametrize("row_factory", [None, dict_row])
def test_a_commit_gives_the_position_behind_it(shop: Database, row_factory: object) -> None:
    """Of the server's own history, above what was there before, whatever rows look like."""
    with psycopg.connect(shop.dsn) as connection:
        before = position(connection)
        if row_factory is not None:
            connection.row_factory = row_factory  # type: ignore[assignment]  # a factory or none
        connection.execute(INSERT)
        token = commit(connection)
        assert connection.info.transaction_status.name == "IDLE"
    assert hotels(shop) == 1
    assert token.epoch == before.epoch
    assert token.lsn > before.lsn
    with psycopg.connect(shop.dsn) as connection:
        assert token.lsn <= position(connection).lsn


def test_a_commit_is_one_round_trip(
    shop: Database, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    """The server is sent one query, in which both are."""
    connection.execute(INSERT)
    commit(connection)
    with psycopg.connect(shop.dsn, autocommit=True) as other:
        found = other.execute(
            "select query from pg_stat_activity where pid = %s", [connection.info.backend_pid]
        ).fetchone()
    assert found == (f"commit; {TOKEN_SQL}",)


def test_a_failed_transaction_gives_no_token(
    shop: Database, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    """COMMIT would say ROLLBACK, which nobody looks at."""
    connection.execute(INSERT)
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("select 1/0")
    with pytest.raises(NotCommittedError, match="rolled it back"):
        commit(connection)
    assert hotels(shop) == 0


def test_what_fails_at_the_commit_is_the_drivers_error(
    shop: Database, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    """A deferred constraint says so as ever, and the connection goes on."""
    connection.execute("insert into hotel (parent) values (4711)")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        commit(connection)
    connection.rollback()
    connection.execute(INSERT)
    commit(connection)
    assert hotels(shop) == 1


def test_an_idle_connection_gives_a_token_without_a_warning(shop: Database) -> None:
    """With autocommit the statement has committed already."""
    warnings: list[str] = []
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        connection.add_notice_handler(lambda said: warnings.append(str(said.message_primary)))
        before = token_of(connection)
        connection.execute(INSERT)
        assert before.lsn < commit(connection).lsn
        connection.execute("begin")
        connection.execute(INSERT)
        commit(connection)
    assert (warnings, hotels(shop)) == ([], 2)


def test_a_position_is_not_asked_for_too_early(
    shop: Database, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Before COMMIT it would not cover the commit; after it no transaction stays open."""
    before = token_of(connection)
    connection.execute(INSERT)
    with pytest.raises(ClientError, match=r"use commit\(connection\)"):
        token_of(connection)
    connection.commit()
    assert before.lsn < token_of(connection).lsn
    assert connection.info.transaction_status.name == "IDLE"
    assert hotels(shop) == 1


def test_asynchronous_commits_are_alike(shop: Database) -> None:
    """Commit, failed commit and position."""

    async def work() -> tuple[Token, Token, Token]:
        async with await psycopg.AsyncConnection.connect(shop.dsn) as connection:
            first = await token_of_async(connection)
            await connection.execute(INSERT)
            second = await commit_async(connection)
            with pytest.raises(psycopg.errors.DivisionByZero):
                await connection.execute("select 1/0")
            with pytest.raises(NotCommittedError):
                await commit_async(connection)
            await connection.execute(INSERT)
            await connection.commit()
            return first, second, await token_of_async(connection)

    first, second, third = asyncio.run(work())
    assert first.lsn < second.lsn < third.lsn
    assert hotels(shop) == 2


def test_any_role_may_ask_for_a_token(shop: Database) -> None:
    """One that may do nothing but log in and write to a table."""
    role = f"plain_{shop.name}"
    with psycopg.connect(shop.dsn, autocommit=True) as owner:
        made = sql.SQL("create role {} login password {}")
        owner.execute(made.format(sql.Identifier(role), role))
        owner.execute(sql.SQL("grant insert on hotel to {}").format(sql.Identifier(role)))
        try:
            with psycopg.connect(shop.dsn, user=role, password=role) as connection:
                connection.execute(INSERT)
                assert commit(connection).epoch == position(owner).epoch
        finally:
            owner.execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
            owner.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
