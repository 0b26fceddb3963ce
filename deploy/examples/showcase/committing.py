"""The end of a command: COMMIT, and the token by which who has written finds it again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg

from cdc_daemon.client import commit, commit_strong
from deploy.examples.showcase.receipt import ASYNCHRONOUS, SYNCHRONOUS, UNCONFIRMED, Committed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.client import Session

STRONG_SECONDS: Final = 5.0
"""A person waits no longer for a COMMIT. It stands then, though nobody has confirmed it."""


class Command:
    """A transaction of the command store that somebody has asked for."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.committed: Committed | None = None
        """What its COMMIT has come to; None before it."""


@contextmanager
def commanding(database_url: str, session: Session, *, strongly: bool) -> Iterator[Command]:
    """Commit at the end of the context, and note the token; an exception rolls back.

    `strongly`: COMMIT returns when any search finds what was written.
    """
    with psycopg.connect(database_url) as connection:
        command = Command(connection)
        yield command
        began = time.monotonic()
        way = _commit_strongly(connection, session) if strongly else _commit(connection, session)
        command.committed = Committed(way, time.monotonic() - began)


def _commit(connection: psycopg.Connection[Any], session: Session) -> str:
    session.note(commit(connection))
    return ASYNCHRONOUS


def _commit_strongly(connection: psycopg.Connection[Any], session: Session) -> str:
    confirmation = commit_strong(connection, STRONG_SECONDS, raises=False)
    if confirmation.token is not None:
        session.note(confirmation.token)
    return SYNCHRONOUS if confirmation.confirmed else UNCONFIRMED
