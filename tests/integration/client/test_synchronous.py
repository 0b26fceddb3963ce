from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from cdc_daemon import embedded
from cdc_daemon.client import (
    ClientError,
    Confirmation,
    NotReplicatedError,
    Token,
    commit,
    commit_strong,
    commits,
    strong,
    strong_async,
    synchronous,
)
from cdc_daemon.client import sqlalchemy as client_sqlalchemy
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database

SETTINGS: dict[str, str | int] = {"synchronous_commit": "local"}
AWAY = 'FIRST 1 ("cdc-daemon:nobody")'
"""A daemon that is away: commits that want to wait wait for ever."""
INSERT = "insert into hotel values (1)"
SHORT = 0.05
LONG = 60.0


@pytest.fixture(scope="module")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[embedded.PostgresServer]:
    """A PostgreSQL whose strong commits wait for a daemon that isn't there."""
    version = request.config.getoption("--postgres")
    with embedded.postgres(
        version=version, settings=SETTINGS, fsync=False, progress=lambda _: None
    ) as server:
        wait_for(server.dsn, AWAY)
        yield server


def wait_for(dsn: str, names: str) -> None:
    """Have commits wait for these standbys."""
    show = "show synchronous_standby_names"
    with psycopg.connect(dsn, autocommit=True) as administrator:
        administrator.execute(f"alter system set synchronous_standby_names = '{names}'")
        administrator.execute("select pg_reload_conf()")
        until(lambda: administrator.execute(show).fetchone() == (names,), LONG, names)


@contextmanager
def waiting_for(shop: Database, names: str) -> Iterator[None]:
    """The same for a while."""
    wait_for(shop.dsn, names)
    try:
        yield
    finally:
        wait_for(shop.dsn, AWAY)


@pytest.fixture
def shop(database: Database) -> Database:
    """A database with a table."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table hotel (id int)")
    return database


@pytest.fixture(params=[False, True], ids=["transactions", "autocommit"])
def connection(shop: Database, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A connection of either kind."""
    with psycopg.connect(shop.dsn, autocommit=request.param) as opened:
        yield opened


def hotels(shop: Database) -> int:
    """How many are committed."""
    with psycopg.connect(shop.dsn) as connection:
        row = connection.execute("select count(*) from hotel").fetchone()
    assert row is not None
    return int(row[0])


def waiting(shop: Database) -> list[int]:
    """The processes whose COMMIT waits."""
    with psycopg.connect(shop.dsn) as connection:
        rows = connection.execute(
            "select pid from pg_stat_activity where wait_event = 'SyncRep'"
        ).fetchall()
    return [row[0] for row in rows]


def fail_unnoticed(connection: Any) -> None:
    """A statement fails, and nobody looks."""
    with suppress(psycopg.errors.DivisionByZero):
        connection.execute(f"{INSERT}; select 1/0")


def in_thread(work: Any) -> threading.Thread:
    """Do it beside the test."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_strong_commit_ends_in_time_and_says_that_nobody_confirmed(
    shop: Database, connection: Any
) -> None:
    """It is committed, there is a token to wait for, and the connection goes on."""
    with (
        pytest.raises(NotReplicatedError, match="committed, but within") as raised,
        strong(connection, SHORT),
    ):
        connection.execute(INSERT)
    assert raised.value.token is not None
    assert hotels(shop) == 1
    assert connection.info.transaction_status.name == "IDLE"


def test_a_flag_in_place_of_an_error(shop: Database, connection: Any) -> None:
    """For who goes on anyhow."""
    with strong(connection, SHORT, raises=False) as confirmation:
        connection.execute(INSERT)
    assert not confirmation.confirmed
    assert isinstance(confirmation.token, Token)
    assert hotels(shop) == 1


def test_a_commit_that_nobody_holds_up_is_confirmed(shop: Database) -> None:
    """It returns once the server says so, long before its time is up."""
    confirmations: list[Confirmation] = []

    def work() -> None:
        with psycopg.connect(shop.dsn) as connection, strong(connection, LONG) as confirmation:
            connection.execute(INSERT)
        confirmations.append(confirmation)

    thread = in_thread(work)
    until(lambda: waiting(shop), LONG, "a commit waits")
    with waiting_for(shop, ""):
        thread.join(LONG)
    assert [confirmation.confirmed for confirmation in confirmations] == [True]
    assert confirmations[0].token is not None


def test_the_request_that_ends_a_wait_ends_nothing_else(shop: Database) -> None:
    """Whenever it comes: the next statement of the connection runs to its end."""
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        for number in range(30):
            with strong(connection, number / 5000, raises=False):
                connection.execute(INSERT)
            connection.execute("select pg_sleep(0.005)")
    assert hotels(shop) == 30


def test_other_commits_do_not_wait(shop: Database, connection: Any) -> None:
    """Neither others' nor the next one of the same connection."""
    with strong(connection, SHORT, raises=False):
        connection.execute(INSERT)
    connection.execute(INSERT)
    began = time.monotonic()
    commit(connection)
    assert time.monotonic() - began < LONG
    assert hotels(shop) == 2


def test_what_fails_in_the_block_is_rolled_back(shop: Database, connection: Any) -> None:
    """As in any transaction."""
    with pytest.raises(psycopg.errors.DivisionByZero), strong(connection, LONG):
        connection.execute(f"{INSERT}; select 1/0")
    assert connection.info.transaction_status.name == "IDLE"
    assert hotels(shop) == 0


def test_a_nested_block_is_a_savepoint(shop: Database, connection: Any) -> None:
    """The strong commit is the outermost one."""
    with strong(connection, SHORT, raises=False) as confirmation:
        with connection.transaction():
            connection.execute(INSERT)
        assert hotels(shop) == 0
    assert confirmation.token is not None
    assert hotels(shop) == 1


def test_a_transaction_whose_failure_was_overlooked_is_rolled_back(
    shop: Database, connection: Any
) -> None:
    """Nothing was committed, and the connection goes on."""
    with pytest.raises(psycopg.errors.InFailedSqlTransaction), strong(connection, LONG):
        fail_unnoticed(connection)
    assert connection.info.transaction_status.name == "IDLE"
    assert hotels(shop) == 0


def test_a_transaction_that_ends_too_early_is_a_mistake(shop: Database, connection: Any) -> None:
    """Its commit was not strong, and somebody must be told."""
    with pytest.raises(ClientError, match="ended inside strong"), strong(connection, LONG):
        connection.execute(f"{INSERT}; commit")
    assert hotels(shop) == 1


def test_a_transaction_that_is_open_can_be_committed_strongly(shop: Database) -> None:
    """But not be begun again."""
    with psycopg.connect(shop.dsn) as connection:
        connection.execute(INSERT)
        with pytest.raises(ClientError, match="one is open already"), strong(connection, LONG):
            pass
        assert not commit_strong(connection, SHORT, raises=False).confirmed
    assert hotels(shop) == 1


def test_a_server_that_waits_for_no_daemon_is_found_out(shop: Database, connection: Any) -> None:
    """COMMIT would return at once and promise nothing: the block isn't even begun."""
    with (
        waiting_for(shop, "FIRST 1 (replica)"),
        pytest.raises(NotReplicatedError, match="cdc-daemon strong enable") as raised,
        strong(connection, LONG),
    ):
        pytest.fail("the block was begun")
    assert raised.value.token is None
    assert connection.info.transaction_status.name == "IDLE"
    assert hotels(shop) == 0


def test_a_daemon_of_another_pipeline_confirms_nothing(shop: Database, connection: Any) -> None:
    """Where a pipeline is named, its own daemon must be the one that is waited for."""
    with (
        pytest.raises(NotReplicatedError, match="no daemon of the pipeline 'some'"),
        strong(connection, LONG, pipeline="some"),
    ):
        pytest.fail("the block was begun")
    with strong(connection, SHORT, raises=False, pipeline="Nobody") as confirmation:
        connection.execute(INSERT)
    assert confirmation.token is not None
    assert hotels(shop) == 1


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf")])
def test_a_bound_that_is_none_is_refused(shop: Database, timeout: float) -> None:
    """Before anything is begun: COMMIT would wait without one."""
    with psycopg.connect(shop.dsn) as connection:
        with pytest.raises(ClientError, match="0 or more"), strong(connection, timeout):
            pytest.fail("the block was begun")
        connection.execute(INSERT)
        with pytest.raises(ClientError, match="0 or more"):
            commit_strong(connection, timeout)
        connection.rollback()
    assert hotels(shop) == 0


def test_a_connection_that_is_lost_while_it_waits_has_committed(shop: Database) -> None:
    """The server says so before it goes, and so does the error."""
    errors: list[NotReplicatedError] = []

    def work() -> None:
        with psycopg.connect(shop.dsn) as connection:
            connection.execute(INSERT)
            try:
                commit_strong(connection, LONG)
            except NotReplicatedError as error:
                errors.append(error)

    thread = in_thread(work)
    until(lambda: waiting(shop), LONG, "a commit waits")
    with psycopg.connect(shop.dsn, autocommit=True) as administrator:
        administrator.execute("select pg_terminate_backend(%s)", waiting(shop))
    thread.join(LONG)
    assert ["committed, then the connection was lost" in str(error) for error in errors] == [True]
    assert [error.is_committed for error in errors] == [True]
    assert hotels(shop) == 1


def test_a_connection_that_is_lost_behind_the_commit_has_committed(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it has told the position: what was done must not look undone."""

    def lose(connection: Any) -> None:
        with psycopg.connect(shop.dsn, autocommit=True) as administrator:
            administrator.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])

    def token_of(connection: psycopg.Connection) -> Token:
        lose(connection)
        return commits.token_of(connection)

    async def token_of_async(connection: psycopg.AsyncConnection) -> Token:
        lose(connection)
        return await commits.token_of_async(connection)

    async def work() -> None:
        async with (
            await psycopg.AsyncConnection.connect(shop.dsn) as connection,
            strong_async(connection, SHORT),
        ):
            await connection.execute(INSERT)

    monkeypatch.setattr(synchronous, "token_of", token_of)
    monkeypatch.setattr(synchronous, "token_of_async", token_of_async)
    with psycopg.connect(shop.dsn) as connection:
        connection.execute(INSERT)
        with pytest.raises(NotReplicatedError, match=r"committed, .* before the position") as lost:
            commit_strong(connection, SHORT, raises=False)
    with pytest.raises(NotReplicatedError, match=r"committed, .* before the position"):
        asyncio.run(work())
    assert (lost.value.is_committed, lost.value.token) == (True, None)
    assert hotels(shop) == 2


def test_asynchronous_commits_are_bounded_alike(shop: Database) -> None:
    """An error, or a flag; and what fails in the block is rolled back."""

    async def work() -> Confirmation:
        async with await psycopg.AsyncConnection.connect(shop.dsn) as connection:
            with pytest.raises(NotReplicatedError):
                async with strong_async(connection, SHORT):
                    await connection.execute(INSERT)
            with pytest.raises(psycopg.errors.DivisionByZero):
                async with strong_async(connection, LONG):
                    await connection.execute("select 1/0")
            await connection.set_autocommit(True)
            async with strong_async(connection, SHORT, raises=False) as confirmation:
                await connection.execute(INSERT)
            await connection.execute("select pg_sleep(0.02)")
            return confirmation

    confirmation = asyncio.run(work())
    assert not confirmation.confirmed
    assert confirmation.token is not None
    assert hotels(shop) == 2


def test_sessions_of_sqlalchemy_commit_strongly(shop: Database) -> None:
    """With and without asyncio."""
    url = shop.dsn.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.execute(sa.text(INSERT))
        with pytest.raises(NotReplicatedError):
            client_sqlalchemy.commit_strong(connection, SHORT)
        assert connection.scalar(sa.text("select count(*) from hotel")) == 1
    engine.dispose()

    async def work() -> Confirmation:
        there = create_async_engine(url)
        async with there.connect() as connection:
            await connection.execute(sa.text(INSERT))
            confirmation = await client_sqlalchemy.commit_strong_async(
                connection, SHORT, raises=False
            )
        await there.dispose()
        return confirmation

    assert not asyncio.run(work()).confirmed
    assert hotels(shop) == 2
