"""Writes batches of document operations over one connection: a statement for each table."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg

from cdc_daemon.errors import SinkError
from cdc_daemon.ports import Rejection, WriteResult
from connectors.postgres.readtables.errors import (
    POISON,
    condition_name,
    is_table_gone,
    mapped_errors,
)
from connectors.postgres.readtables.generations import gone
from connectors.postgres.readtables.relations import field_columns, find
from connectors.postgres.readtables.statements import Statements, batch, statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import DocumentOperation
    from connectors.postgres.readtables.server import Server
    from connectors.postgres.session import Connection

PAGE: Final = 5000
"""Documents that are deleted by one statement: some tenths of a second of locks."""
FORGET_EVERY_SECONDS: Final = 60.0
FIRST_FORGET_SECONDS: Final = 900.0
"""A daemon that starts may replay what is older than its tombstones: as long as they are kept."""
MOST_FORGOTTEN: Final = 10_000
"""Tombstones that are forgotten at once: they must not hold a batch up. More go with the next."""


class ReadTableWriter:
    """One connection to PostgreSQL, for one sender thread."""

    def __init__(self, server: Server) -> None:
        """Connects when it is first needed, and again after a connection was lost."""
        self._server = server
        self._connection: Connection | None = None
        self._known: dict[str, Statements] = {}
        self._forget_at: defaultdict[str, float] = defaultdict(
            lambda: time.monotonic() + FIRST_FORGET_SECONDS
        )

    def write(self, operations: Sequence[DocumentOperation]) -> WriteResult:
        """Return when every operation is durable, rejected or to be retried.

        Raises RetryError when nobody knows what became of them: send all again. Raises SinkError
        when a table is gone or may not be written.
        """
        results = [self._write(index, turn) for index, turn in _turns(operations)]
        for index in {operation.index for operation in operations}:
            self._forget(index)
        return _together(results)

    def delete_before(self, index: str, version: int) -> int:
        """Delete every document with a lower version; return how many.

        As tombstones just below the bound: what is written at it or above it, meanwhile or earlier,
        stays.
        """
        deleted, last = 0, ("", "")
        with self._cursor(index, "delete old documents") as (cursor, known):
            while True:
                cursor.execute(known.sweep, [version, *last, PAGE, version - 1])
                gone_now = cursor.fetchall()
                if not gone_now:
                    return deleted
                deleted += len(gone_now)
                last = max(gone_now)

    def close(self) -> None:
        """Release the connection. Safe to call twice."""
        if self._connection is not None:
            self._connection.close()

    def _write(self, index: str, operations: Sequence[DocumentOperation]) -> WriteResult:
        """Each document once: of what doesn't go the halves, down to the one that is to blame."""
        try:
            with self._cursor(index, "write documents") as (cursor, known):
                cursor.execute(known.write, [batch(operations)])
                stale = [operations[place - 1] for (place,) in cursor.fetchall()]
                return WriteResult(stale=stale)
        except _PoisonError as poison:
            if len(operations) == 1:
                return WriteResult([Rejection(operations[0], poison.reason, str(poison))])
        half = len(operations) // 2
        return _together(
            [self._write(index, operations[:half]), self._write(index, operations[half:])]
        )

    def _forget(self, index: str) -> None:
        """Delete tombstones that no late request can need any more."""
        now = time.monotonic()
        if now < self._forget_at[index]:
            return
        with self._cursor(index, "forget deleted documents") as (cursor, known):
            cursor.execute(known.forget, [MOST_FORGOTTEN])
            are_more = cursor.rowcount == MOST_FORGOTTEN
        self._forget_at[index] = now if are_more else now + FORGET_EVERY_SECONDS

    @contextmanager
    def _cursor(
        self, index: str, doing: str
    ) -> Iterator[tuple[psycopg.RawCursor[tuple[Any, ...]], Statements]]:
        """Run the statements of a table."""
        connection = self._connected()
        try:
            with mapped_errors(f"{doing} in {self._server.schema}.{index}"):
                try:
                    yield psycopg.RawCursor(connection), self._statements(connection, index)
                except POISON as error:
                    raise _PoisonError(error) from error
                except psycopg.ProgrammingError as error:
                    if is_table_gone(error):
                        raise SinkError(gone(self._server.schema, index)) from error
                    raise
        finally:
            if connection.closed:
                self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._known.clear()
            self._connection = self._server.connect()
        return self._connection

    def _statements(self, connection: Connection, index: str) -> Statements:
        if index not in self._known:
            schema = self._server.schema
            found = find(connection, schema, index)
            if found is None or found.mark is None:
                raise SinkError(gone(schema, index))
            columns = field_columns(connection, found.oid)
            self._known[index] = statements(schema, index, columns)
        return self._known[index]


class _PoisonError(Exception):
    """A batch holds something that can't be written."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(error.diag.message_primary or str(error))
        self.reason = condition_name(error)


def _turns(
    operations: Sequence[DocumentOperation],
) -> Iterator[tuple[str, list[DocumentOperation]]]:
    """By table, those that go together: one statement can write a document once."""
    turns: dict[tuple[str, int], list[DocumentOperation]] = {}
    seen: defaultdict[tuple[str, bytes, bytes | None], int] = defaultdict(int)
    for one in operations:
        name = (one.index, one.id, one.routing)
        turns.setdefault((one.index, seen[name]), []).append(one)
        seen[name] += 1
    return ((index, turns[index, turn]) for index, turn in sorted(turns))


def _together(results: Sequence[WriteResult]) -> WriteResult:
    return WriteResult(
        rejected=[one for result in results for one in result.rejected],
        stale=[one for result in results for one in result.stale],
    )
