"""The end of a command: COMMIT, and the token by which who has written finds it again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from cdc_daemon.client import commit
from deploy.examples.showcase.receipt import ASYNCHRONOUS, Committed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.client import Session


class Command:
    """A transaction of the command store that somebody has asked for."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.committed: Committed | None = None
        """What its COMMIT has come to; None before it."""


@contextmanager
def commanding(database_url: str, session: Session) -> Iterator[Command]:
    """Commit at the end of the context, and note the token; an exception rolls back."""
    with psycopg.connect(database_url) as connection:
        command = Command(connection)
        yield command
        began = time.monotonic()
        session.note(commit(connection))
        command.committed = Committed(ASYNCHRONOUS, time.monotonic() - began)
