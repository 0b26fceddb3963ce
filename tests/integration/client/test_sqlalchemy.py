from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from cdc_daemon.client import ClientError, Token
from cdc_daemon.client.commits import TOKEN_SQL
from cdc_daemon.client.sqlalchemy import commit, commit_async

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database


class Base(DeclarativeBase):
    """Tables of the tests."""


class Hotel(Base):
    """One of them, with a constraint that fails at COMMIT."""

    __tablename__ = "hotel"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent: Mapped[int | None] = mapped_column(
        sa.ForeignKey("hotel.id", deferrable=True, initially="DEFERRED")
    )


def url(database: Database) -> str:
    """As SQLAlchemy wants it, with the driver."""
    return database.dsn.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def engine(database: Database) -> Iterator[sa.Engine]:
    """An engine on a database with the tables."""
    engine = sa.create_engine(url(database))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def hotels(engine: sa.Engine) -> int:
    """How many are committed."""
    with Session(engine) as session:
        return session.scalar(sa.select(sa.func.count(Hotel.id))) or 0


def test_a_session_commits_with_a_token(engine: sa.Engine) -> None:
    """What is flushed by the commit is in it; the next transaction gives a later one."""
    with Session(engine) as session:
        session.add(Hotel(id=1))
        first = commit(session)
        session.add(Hotel(id=2))
        second = commit(session)
    assert first.epoch is not None
    assert first.lsn < second.lsn
    assert hotels(engine) == 2


def test_the_commit_of_a_session_is_one_round_trip(engine: sa.Engine, database: Database) -> None:
    """SQLAlchemy's own COMMIT has nothing left to send."""
    with Session(engine) as session:
        session.add(Hotel(id=1))
        session.flush()
        pid = session.scalar(sa.select(sa.func.pg_backend_pid()))
        commit(session)
        with psycopg.connect(database.dsn) as other:
            found = other.execute("select query from pg_stat_activity where pid = %s", [pid])
            assert found.fetchone() == (f"commit; {TOKEN_SQL}",)


def test_hooks_of_a_session_come_before_its_commit(engine: sa.Engine) -> None:
    """What they add belongs to the same transaction."""
    with Session(engine) as session:
        sa.event.listen(session, "before_commit", lambda s: s.add(Hotel(id=2, parent=1)))
        session.add(Hotel(id=1))
        commit(session)
    assert hotels(engine) == 2


def test_an_error_at_the_commit_is_sqlalchemys(engine: sa.Engine) -> None:
    """And the session goes on after a rollback."""
    with Session(engine) as session:
        session.add(Hotel(id=1, parent=4711))
        with pytest.raises(exc.IntegrityError, match="foreign key"):
            commit(session)
        session.rollback()
        session.add(Hotel(id=1))
        commit(session)
    assert hotels(engine) == 1


def test_a_connection_commits_with_a_token(engine: sa.Engine) -> None:
    """Without the ORM."""
    with engine.connect() as connection:
        connection.execute(sa.insert(Hotel).values(id=1))
        token = commit(connection)
        connection.execute(sa.insert(Hotel).values(id=2))
        assert token.lsn < commit(connection).lsn
    assert hotels(engine) == 2


def test_a_session_in_an_outer_transaction_gives_no_token(engine: sa.Engine) -> None:
    """Nothing is committed by it."""
    with engine.begin() as connection, Session(connection) as session:
        session.add(Hotel(id=1))
        with pytest.raises(ClientError, match="outer transaction"):
            commit(session)
    assert hotels(engine) == 1


def test_another_driver_is_refused() -> None:
    """With what to do in place of it."""
    engine = sa.create_engine("sqlite://")
    with Session(engine) as session, pytest.raises(ClientError, match="TOKEN_SQL"):
        commit(session)
    engine.dispose()


def test_asynchronous_sessions_are_alike(engine: sa.Engine, database: Database) -> None:
    """Sessions and connections, one round trip each."""

    async def work() -> list[Token]:
        there = create_async_engine(url(database))
        async with AsyncSession(there) as session:
            session.add(Hotel(id=1))
            tokens = [await commit_async(session)]
        async with there.connect() as connection:
            await connection.execute(sa.insert(Hotel).values(id=2))
            tokens.append(await commit_async(connection))
        await there.dispose()
        return tokens

    first, second = asyncio.run(work())
    assert first.lsn < second.lsn
    assert hotels(engine) == 2
