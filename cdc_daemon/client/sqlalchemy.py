"""Commits that give a token for SQLAlchemy: sessions and connections, on the driver psycopg."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event
from sqlalchemy.engine import AdaptedConnection, Connection
from sqlalchemy.exc import DBAPIError

from cdc_daemon.client import commits
from cdc_daemon.client.errors import ClientError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

    from cdc_daemon.client.tokens import Token

DRIVER: Final = "psycopg"


def commit(session: Session | Connection) -> Token:
    """`session.commit()`, and the position behind it, in one round trip.

    At the moment at which SQLAlchemy itself would commit: hooks and flushes come before it as
    ever. Raises SQLAlchemy's own errors, and ClientError where this commits nothing.
    """
    connection = session if isinstance(session, Connection) else session.connection()
    if connection.dialect.driver != DRIVER:
        raise ClientError(
            f"the driver is {connection.dialect.driver}: commit as ever, then run TOKEN_SQL on the "
            "same connection, or use postgresql+psycopg://, which does it in one round trip"
        )
    tokens: list[Token] = []

    def instead(connection: Connection) -> None:
        # SQLAlchemy's own commit comes next, and finds nothing to send.
        tokens.append(_committed(connection))

    event.listen(connection, "commit", instead)
    try:
        session.commit()
    finally:
        event.remove(connection, "commit", instead)
    if not tokens:
        raise ClientError(
            "this session is part of an outer transaction, which is still open: commit that one, "
            "commit(connection)"
        )
    return tokens[0]


async def commit_async(session: AsyncSession | AsyncConnection) -> Token:
    """`commit` of an asynchronous session or connection."""
    return await session.run_sync(commit)


def _committed(connection: Connection) -> Token:
    driver: Any = connection.connection.dbapi_connection
    try:
        if isinstance(driver, AdaptedConnection):
            return driver.run_async(commits.commit_async)
        return commits.commit(driver)
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(
            "COMMIT", None, error, connection.dialect.loaded_dbapi.Error, dialect=connection.dialect
        ) from error
