"""Writes changes into the outbox, in the application's own transaction: the transactional outbox.

    with connection.transaction():
        ...
        outbox.add(connection, "public.hotel", row={"id": 7, "name": "Sea View"})
        outbox.add(connection, "public.hotel", key={"id": 8})

Call it after the statement that writes the row, which holds its lock until COMMIT: what two say of
one row is then in the order of their commits. Where no row of the database is locked, lock
something first: `select pg_advisory_xact_lock(hashtext('public.hotel 7'))`.

A `row` is what is there now, whole; a `key` alone says that its row is gone, and with a row that
the row had that key before. What isn't committed was never there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol

from cdc_daemon.client.changes import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_SCHEMA: Final = "cdc_daemon"
"""As `source.schema` has it."""


class Cursor(Protocol):
    """What a driver of PostgreSQL gives (DB-API): psycopg, psycopg2, pg8000."""

    def execute(self, operation: str, parameters: Sequence[Any] = ..., /) -> Any:
        """Run a statement, with `%s` for parameters."""

    def close(self) -> Any:
        """Be done with it."""


class Connection(Protocol):
    """A connection that is in a transaction, or commits each statement."""

    def cursor(self) -> Any:
        """A `Cursor`."""


def add(
    connection: Connection,
    table: str,
    *,
    row: Mapping[str, Any] | None = None,
    key: Mapping[str, Any] | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> None:
    """Say what has become of a row of `table`: `schema.name`, or `name` in the schema `public`.

    Values are what drivers give of PostgreSQL's: texts, numbers, dates, bytes, enums, lists. Raises
    ValueError where there is neither a row nor a key, ClientError where nobody knows what a value
    is in JSON, and what the driver raises.
    """
    if row is None and key is None:
        raise ValueError("expected `row`, what is there now, or `key`, whose row is gone")
    values = ("D" if row is None else "U", _json(row), _json(key))
    _execute(connection, schema, table, values)


def clear(connection: Connection, table: str, *, schema: str = DEFAULT_SCHEMA) -> None:
    """Say that all rows of `table` are gone."""
    _execute(connection, schema, table, ("T", None, None))


def _execute(
    connection: Connection, schema: str, table: str, values: tuple[str | None, ...]
) -> None:
    name = '"' + schema.replace('"', '""') + '"'
    cursor: Cursor = connection.cursor()
    try:
        cursor.execute(
            f'insert into {name}.change ("table", op, "row", key) values (%s, %s, %s, %s)',  # noqa: S608 - quoted
            (table, *values),
        )
    finally:
        cursor.close()


def _json(values: Mapping[str, Any] | None) -> str | None:
    return None if values is None else json.dumps(as_json(values), allow_nan=False)
