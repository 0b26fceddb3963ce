"""Commits that return when searches show them, in bounded time, on connections of psycopg.

The daemon is a synchronous standby then, and COMMIT waits for it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cdc_daemon.client.bounding import Bound, bound_async, listening
from cdc_daemon.client.commits import token_of, token_of_async
from cdc_daemon.client.durations import require_seconds
from cdc_daemon.client.errors import ClientError, NotReplicatedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from psycopg import AsyncConnection, Connection

    from cdc_daemon.client.tokens import Token

AnyConnection: TypeAlias = "Connection[Any] | AsyncConnection[Any]"

STANDBYS_SQL: Final = "select current_setting('synchronous_standby_names')"
COMMIT_SQL: Final = "set local synchronous_commit = remote_apply; commit"
"""Not earlier: a COMMIT that somebody gives inside the block would wait without a bound."""
DAEMON: Final = "cdc-daemon:"
"""How the name of a daemon begins, among those that a server may wait for."""
LONGEST_NAME: Final = 63
"""Of an application, in PostgreSQL."""

_OFF: Final = (
    "this server waits for {which} at COMMIT (see synchronous_standby_names), so a strong commit "
    "would promise nothing: run `cdc-daemon strong enable`"
)
_BUSY: Final = (
    "a strong commit needs a transaction of its own, and one is open already: commit or roll back "
    "first, or call commit_strong() at its end"
)
_ENDED: Final = (
    "there is no transaction to commit: it has ended inside strong(), which commits by itself"
)
_UNCONFIRMED: Final = (
    "committed, but within {seconds:g} s nobody has confirmed that searches show it: they will, or "
    "wait(token) for it"
)
_LOST_BEHIND: Final = (
    "committed, then the connection was lost before the position of the commit was known: {said}"
)
_LOST: Final = "committed, then the connection was lost while it waited for searches: {said}"


@dataclass(slots=True)
class Confirmation:
    """What is known of a strong commit, once it has returned."""

    confirmed: bool = False
    """The server has waited to the end: searches show it, if its daemon has confirmed it itself.

    Where a guard may stand in for it (`when_away: degrade`), wait for the token to be sure.
    """
    token: Token | None = None
    """To wait for it otherwise, where it isn't confirmed."""

    def require(self, seconds: float) -> None:
        """Raise NotReplicatedError where it isn't confirmed within that time."""
        if not self.confirmed:
            raise NotReplicatedError(_UNCONFIRMED.format(seconds=seconds), self.token)


@contextmanager
def strong(
    connection: Connection[Any], timeout: float, *, raises: bool = True, pipeline: str | None = None
) -> Iterator[Confirmation]:
    """A transaction whose COMMIT, at the end of the block, returns when searches show it.

    After `timeout` seconds it returns all the same, committed: NotReplicatedError, or, without
    `raises`, a Confirmation that isn't one. `pipeline`: a daemon of this one must be waited for.
    """
    require_seconds("a timeout", timeout)
    _require_idle(connection)
    confirmation = Confirmation()
    try:
        _begin(connection, pipeline)
        yield confirmation
        _finish(connection, timeout, confirmation)
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    if raises:
        confirmation.require(timeout)


@asynccontextmanager
async def strong_async(
    connection: AsyncConnection[Any],
    timeout: float,  # noqa: ASYNC109 - it bounds the server's wait, not a task of ours
    *,
    raises: bool = True,
    pipeline: str | None = None,
) -> AsyncIterator[Confirmation]:
    """`strong` on an asynchronous connection."""
    require_seconds("a timeout", timeout)
    _require_idle(connection)
    confirmation = Confirmation()
    try:
        await _begin_async(connection, pipeline)
        yield confirmation
        await _finish_async(connection, timeout, confirmation)
    except BaseException:
        if not connection.closed:
            await connection.rollback()
        raise
    if raises:
        confirmation.require(timeout)


def commit_strong(
    connection: Connection[Any], timeout: float, *, raises: bool = True, pipeline: str | None = None
) -> Confirmation:
    """Commit the transaction that is open, as `strong` does."""
    require_seconds("a timeout", timeout)
    confirmation = Confirmation()
    _require_daemon(connection.execute(STANDBYS_SQL).pgresult, pipeline)
    _finish(connection, timeout, confirmation)
    if raises:
        confirmation.require(timeout)
    return confirmation


async def commit_strong_async(
    connection: AsyncConnection[Any],
    timeout: float,  # noqa: ASYNC109 - as above
    *,
    raises: bool = True,
    pipeline: str | None = None,
) -> Confirmation:
    """`commit_strong` on an asynchronous connection."""
    require_seconds("a timeout", timeout)
    confirmation = Confirmation()
    _require_daemon((await connection.execute(STANDBYS_SQL)).pgresult, pipeline)
    await _finish_async(connection, timeout, confirmation)
    if raises:
        confirmation.require(timeout)
    return confirmation


def _require_idle(connection: AnyConnection) -> None:
    if connection.info.transaction_status.name != "IDLE":
        raise ClientError(_BUSY)


def _begin(connection: Connection[Any], pipeline: str | None) -> None:
    if connection.autocommit:
        connection.execute("begin")
    _require_daemon(connection.execute(STANDBYS_SQL).pgresult, pipeline)


async def _begin_async(connection: AsyncConnection[Any], pipeline: str | None) -> None:
    if connection.autocommit:
        await connection.execute("begin")
    _require_daemon((await connection.execute(STANDBYS_SQL)).pgresult, pipeline)


def _require_daemon(result: Any, pipeline: str | None) -> None:
    """The server must be one that waits for this pipeline's daemon, or for any."""
    names = result.get_value(0, 0).decode().lower()
    wanted = DAEMON if pipeline is None else f'"{(DAEMON + pipeline)[:LONGEST_NAME]}"'.lower()
    if wanted not in names:
        which = "no daemon" if pipeline is None else f"no daemon of the pipeline {pipeline!r}"
        raise NotReplicatedError(_OFF.format(which=which))


def _finish(connection: Connection[Any], timeout: float, confirmation: Confirmation) -> None:
    _require_open(connection)
    with listening(connection) as warnings:
        try:
            with Bound(connection, timeout):
                connection.execute(COMMIT_SQL)
        except connection.OperationalError as error:
            if not warnings:
                raise
            raise _lost(_LOST, warnings[0]) from error
    try:
        confirmation.token = token_of(connection)
    except connection.OperationalError as error:
        raise _lost(_LOST_BEHIND, error) from error
    confirmation.confirmed = not warnings


async def _finish_async(
    connection: AsyncConnection[Any], seconds: float, confirmation: Confirmation
) -> None:
    _require_open(connection)
    with listening(connection) as warnings:
        try:
            async with bound_async(connection, seconds):
                await connection.execute(COMMIT_SQL)
        except connection.OperationalError as error:
            if not warnings:
                raise
            raise _lost(_LOST, warnings[0]) from error
    try:
        confirmation.token = await token_of_async(connection)
    except connection.OperationalError as error:
        raise _lost(_LOST_BEHIND, error) from error
    confirmation.confirmed = not warnings


def _lost(what: str, said: object) -> NotReplicatedError:
    return NotReplicatedError(what.format(said=said), is_committed=True)


def _require_open(connection: AnyConnection) -> None:
    if connection.info.transaction_status.name == "IDLE":
        raise ClientError(_ENDED)
