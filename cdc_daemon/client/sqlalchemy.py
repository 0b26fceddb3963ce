"""Commits that give a token for SQLAlchemy: sessions and connections, on the driver psycopg."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import AdaptedConnection, Connection
from sqlalchemy.exc import DBAPIError

from cdc_daemon.client import commits, synchronous
from cdc_daemon.client.durations import require_seconds
from cdc_daemon.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

    from cdc_daemon.client.commits import Committed
    from cdc_daemon.client.synchronous import Confirmation
    from cdc_daemon.client.tokens import Token

DRIVER: Final = "psycopg"
_OUTER: Final = (
    "this session is part of an outer transaction, which is still open: commit that one, "
    "commit(connection)"
)
Result = TypeVar("Result")


def commit(session: Session | Connection) -> Token:
    """`session.commit()`, and the position behind it, in one round trip.

    At the moment at which SQLAlchemy itself would commit: hooks and flushes come before it as
    ever. Raises SQLAlchemy's own errors, and ClientError where this commits nothing.
    """
    return _committed(session, commits.commit, commits.commit_async)


async def commit_async(session: AsyncSession | AsyncConnection) -> Token:
    """`commit` of an asynchronous session or connection."""
    return await session.run_sync(commit)


def commit_versioned(session: Session | Connection) -> Committed:
    """`commit`, and the version of what was written: `cdc_daemon.client.commit_versioned`."""
    return _committed(session, commits.commit_versioned, commits.commit_versioned_async)


async def commit_versioned_async(session: AsyncSession | AsyncConnection) -> Committed:
    """`commit_versioned` of an asynchronous session or connection."""
    return await session.run_sync(commit_versioned)


def commit_strong(
    session: Session | Connection,
    timeout: float,
    *,
    raises: bool = True,
    pipeline: str | None = None,
) -> Confirmation:
    """Commit, and return when searches show it: `cdc_daemon.client.commit_strong`."""
    require_seconds("a timeout", timeout)

    def bounded(connection: Any) -> Confirmation:
        return synchronous.commit_strong(connection, timeout, raises=False, pipeline=pipeline)

    async def bounded_async(connection: Any) -> Confirmation:
        return await synchronous.commit_strong_async(
            connection, timeout, raises=False, pipeline=pipeline
        )

    confirmation = _committed(session, bounded, bounded_async)
    if raises:  # only now: to SQLAlchemy an error means that nothing was committed
        confirmation.require(timeout)
    return confirmation


async def commit_strong_async(
    session: AsyncSession | AsyncConnection,
    timeout: float,  # noqa: ASYNC109 - it bounds the server's wait, not a task of ours
    *,
    raises: bool = True,
    pipeline: str | None = None,
) -> Confirmation:
    """`commit_strong` of an asynchronous session or connection."""
    return await session.run_sync(
        lambda inner: commit_strong(inner, timeout, raises=raises, pipeline=pipeline)
    )


def _committed(
    session: Session | Connection,
    committing: Callable[[Any], Result],
    committing_async: Callable[[Any], Awaitable[Result]],
) -> Result:
    """Commit the driver's way at the moment at which SQLAlchemy would, and give what came of it."""
    connection = session if isinstance(session, Connection) else session.connection()
    _require_psycopg(connection)
    results: list[Result] = []

    def instead(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        # SQLAlchemy's own commit comes next, and finds nothing to send.
        with _mapped_errors(connection):
            if isinstance(driver, AdaptedConnection):
                results.append(driver.run_async(committing_async))
            else:
                results.append(committing(driver))

    event.listen(connection, "commit", instead)
    try:
        session.commit()
    finally:
        event.remove(connection, "commit", instead)
    if not results:
        raise ClientError(_OUTER)
    return results[0]


def _require_psycopg(connection: Connection) -> None:
    if connection.dialect.driver != DRIVER:
        raise ClientError(
            f"the driver is {connection.dialect.driver}: commit as ever, then run TOKEN_SQL on the "
            "same connection, or use postgresql+psycopg://, which does it in one round trip"
        )


@contextmanager
def _mapped_errors(connection: Connection) -> Iterator[None]:
    """As SQLAlchemy does it for a commit of its own."""
    error_of_driver = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except error_of_driver as error:
        raise DBAPIError.instance(
            "COMMIT", None, error, error_of_driver, dialect=connection.dialect
        ) from error
