"""Keeps dead letters as rows of a table of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from psycopg import errors, sql

from cdc_daemon.events.stored import letter_key, letter_of, letter_parts
from connectors.postgres.readtables.owntables import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import DeadLetter
    from connectors.postgres.readtables.server import Server

_ADD: Final = """
insert into {table} as there (key, pipeline, time, position, letter)
values (%s, %s, to_timestamp(%s), %s, %s)
on conflict (key) do update
set time = excluded.time, position = excluded.position, letter = excluded.letter
returning (xmax = 0)
"""
_LIST: Final = """
select key, letter::text from {table} where pipeline = %s
order by time desc, position desc limit %s
"""
_GET: Final = "select letter::text from {table} where key = %s"
_COUNT: Final = "select count(*) from {table} where pipeline = %s"


class ReadTableDeadLetters:
    """The dead letter store. Any thread may use it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def add(self, letters: Sequence[DeadLetter]) -> int:
        """Return when they are durable: how many were new.

        Adding one twice keeps one: its key says what it is.
        """
        if not letters:
            return 0
        new = 0
        with self._server.session("store dead letters") as connection:
            DEAD_LETTERS.ensure(connection, self._server.schema)
            with connection.transaction(), connection.pipeline():
                cursors = [connection.execute(self._sql(_ADD), _row(each)) for each in letters]
                new = sum(bool(row[0]) for cursor in cursors for row in cursor)
        return new

    def list(self, pipeline: str, *, limit: int) -> Sequence[tuple[str, DeadLetter]]:
        """The newest ones with their keys, newest first."""
        rows = self._rows(_LIST, [pipeline, limit])
        return [(key, letter_of(orjson.loads(letter))) for key, letter in rows]

    def get(self, key: str) -> DeadLetter | None:
        """One dead letter by its key."""
        rows = self._rows(_GET, [key])
        return letter_of(orjson.loads(rows[0][0])) if rows else None

    def count(self, pipeline: str) -> int:
        """How many there are."""
        rows = self._rows(_COUNT, [pipeline])
        return int(rows[0][0]) if rows else 0

    def _rows(self, statement: str, parameters: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        """Nothing where no dead letter was ever stored."""
        with self._server.session("read dead letters") as connection:
            try:
                return connection.execute(self._sql(statement), parameters).fetchall()
            except errors.UndefinedTable:
                return []

    def _sql(self, statement: str) -> sql.Composed:
        return sql.SQL(statement).format(table=DEAD_LETTERS.within(self._server.schema))


def _row(letter: DeadLetter) -> list[Any]:
    parts = orjson.dumps(letter_parts(letter)).decode()
    return [letter_key(letter), letter.pipeline, letter.time, letter.position, parts]
