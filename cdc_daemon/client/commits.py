"""Commits that give a token, in the same round trip, on connections of psycopg."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cdc_daemon.client.errors import ClientError, NotCommittedError
from cdc_daemon.client.tokens import Token

if TYPE_CHECKING:
    from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor

TOKEN_SQL: Final = (
    "select system_identifier || '/' || ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::int"  # noqa: S105 - no secret
    " || ':' || lsn from pg_control_system(), pg_current_wal_insert_lsn() lsn"
)
"""The token as text, from any driver, after COMMIT. Any role may ask for it."""

VERSION_SQL: Final = (
    f"{TOKEN_SQL}, set_config('synchronous_commit', case current_setting('synchronous_commit')"
    " when 'off' then 'local' else current_setting('synchronous_commit') end, true)"
)
"""The version of what a transaction has written, as text, from any driver: read inside it, after
its last write. Read after COMMIT it may lie above a later commit of a row.

The commit is on disk before it is told: what a crash could lose must be shown nowhere."""

_ROLLED_BACK: Final = (
    "the transaction had failed before, so COMMIT has rolled it back: find the statement that "
    "failed, and don't go on after it"
)
_NOTHING_OPEN: Final = (
    "no transaction is open on this connection, and the version of what was written can only be "
    "read inside its transaction: write within one, and commit it by this"
)
_STILL_OPEN: Final = (
    "a transaction is open on this connection, and its position isn't known before it has ended: "
    "use commit(connection), which commits and gives the token, or call token_of() after COMMIT"
)


class Committed(NamedTuple):
    """A transaction that has committed."""

    version: Token
    """Above every earlier commit of the rows that it has written, below its own."""
    token: Token
    """Behind its commit."""


def commit(connection: Connection[Any]) -> Token:
    """Commit, and return the position behind it: one round trip.

    Raises NotCommittedError where the server has rolled back, and psycopg's errors as they are.
    """
    with connection.cursor() as cursor:
        cursor.execute(_committing(connection))
        return _told(cursor)


async def commit_async(connection: AsyncConnection[Any]) -> Token:
    """`commit` on an asynchronous connection."""
    async with connection.cursor() as cursor:
        await cursor.execute(_committing(connection))
        return _told(cursor)


def token_of(connection: Connection[Any]) -> Token:
    """The position now, after a commit of one's own. Raises ClientError in a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_reading(connection))
        return _told(cursor)


async def token_of_async(connection: AsyncConnection[Any]) -> Token:
    """`token_of` on an asynchronous connection."""
    async with connection.cursor() as cursor:
        await cursor.execute(_reading(connection))
        return _told(cursor)


def commit_versioned(connection: Connection[Any]) -> Committed:
    """`commit`, and the version of what was written: one round trip."""
    if _has_failed(connection):
        commit(connection)
    with connection.cursor() as cursor:
        cursor.execute(_committing_versioned(connection))
        return _told_both(cursor)


async def commit_versioned_async(connection: AsyncConnection[Any]) -> Committed:
    """`commit_versioned` on an asynchronous connection."""
    if _has_failed(connection):
        await commit_async(connection)
    async with connection.cursor() as cursor:
        await cursor.execute(_committing_versioned(connection))
        return _told_both(cursor)


def _has_failed(connection: Connection[Any] | AsyncConnection[Any]) -> bool:
    """Then a commit says so: nothing can be read in such a transaction."""
    return connection.info.transaction_status.name == "INERROR"


def _committing_versioned(connection: Connection[Any] | AsyncConnection[Any]) -> str:
    if connection.info.transaction_status.name == "IDLE":
        raise ClientError(_NOTHING_OPEN)
    return f"{VERSION_SQL}; commit; {TOKEN_SQL}"


def _told_both(cursor: Cursor[Any] | AsyncCursor[Any]) -> Committed:
    version = _first(cursor)
    cursor.nextset()
    return Committed(version, _told(cursor))


def _committing(connection: Connection[Any] | AsyncConnection[Any]) -> str:
    idle = connection.info.transaction_status.name == "IDLE"
    # Where nothing was begun the server would warn of a COMMIT.
    return TOKEN_SQL if idle and connection.autocommit else f"commit; {TOKEN_SQL}"


def _reading(connection: Connection[Any] | AsyncConnection[Any]) -> str:
    if connection.info.transaction_status.name != "IDLE":
        raise ClientError(_STILL_OPEN)
    # Without autocommit psycopg begins a transaction, which must not stay open.
    return TOKEN_SQL if connection.autocommit else f"{TOKEN_SQL}; commit"


def _told(cursor: Cursor[Any] | AsyncCursor[Any]) -> Token:
    """The token among the results, whatever kind of rows the connection makes."""
    if cursor.statusmessage == "ROLLBACK":
        raise NotCommittedError(_ROLLED_BACK)
    while cursor.statusmessage == "COMMIT" and cursor.nextset():
        pass
    return _first(cursor)


def _first(cursor: Cursor[Any] | AsyncCursor[Any]) -> Token:
    result = cursor.pgresult
    text = result.get_value(0, 0) if result is not None else None
    if text is None:
        raise ClientError("the server has told no position: is it PostgreSQL 14 or later?")
    return Token.parse(text.decode())
