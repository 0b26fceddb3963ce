"""What it means that rows can't be read: what the server says, by what it was asked for."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import errors

from cdc_daemon.errors import (
    ConditionError,
    RejectedError,
    RetryError,
    RewrittenError,
    SchemaChangedError,
    SourceError,
)
from connectors.postgres.condition import require_condition
from connectors.postgres.rowstatements import look_at_columns
from connectors.postgres.tupleplan import TYPE_CHANGED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Chunk, Relation
    from connectors.postgres.session import Connection

CONDITION_TIMEOUT_SECONDS: Final = 60
"""How long a chunk may be read by somebody's condition. The source's vacuum horizon is held
meanwhile; without a condition a chunk takes a tenth of a second."""

_CUT_OFF: Final = "08"
"""The class of errors of connections: one that is just gone has no SQLSTATE."""
_OF_NO_CONDITION: Final = (_CUT_OFF, "40", "55P03", "57P")
"""How SQLSTATEs begin that come from others: connections, conflicts, locks, and an operator. What
else passes without a condition (no memory, a full disk) may as well be what it takes itself."""


@contextmanager
def as_compiled(relation: Relation) -> Iterator[None]:
    """A mapped column may be dropped or renamed at any time, or its type altered under its name."""
    try:
        yield
    except errors.UndefinedColumn as error:
        raise SchemaChangedError(relation.qualified_name, "a mapped column is gone") from error
    except RejectedError as error:
        if error.reason != TYPE_CHANGED:
            raise
        why = f"a value isn't of its type: {error.explanation}"
        raise SchemaChangedError(relation.qualified_name, why) from error


@contextmanager
def keys_are_of_their_types(relation: Relation) -> Iterator[None]:
    """A label of an enum is renamed without a lock, and the stream has the name of its time."""
    try:
        yield
    except psycopg.DataError as error:
        # What the server says of it has the value.
        why = "a key of a row is none that its type has now: its labels may have other names"
        raise SchemaChangedError(relation.qualified_name, why) from error


@contextmanager
def gone_is_rewritten(chunk: Chunk) -> Iterator[None]:
    """A partition may be dropped or renamed at any time: a new plan knows what is left."""
    try:
        yield
    except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
        raise RewrittenError(
            f"table {chunk.table} was dropped or renamed since its chunks were planned"
        ) from error


@contextmanager
def away_is_retried(name: str) -> Iterator[None]:
    """Who makes a table anew, or renames a type, may be amid it; else the catalog will show it."""
    try:
        yield
    except (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedObject) as error:
        what = f"table {name}, or a type of it, is away ({_said(error)})"
        raise RetryError(f"{what}: rows are read once it is there again", reason="away") from error


@contextmanager
def refused_is_told() -> Iterator[None]:
    """What the server says of a condition is for who asks for rows by it."""
    try:
        yield
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError) as error:
        raise ConditionError(f"PostgreSQL refuses the condition: {_said(error)}") from error


@contextmanager
def condition_is_blamed(
    connection: Connection, relation: Relation, table: str, where: str
) -> Iterator[None]:
    """Neither a new plan nor a start can mend a condition: who asked for it is to know.

    `table`, as SQL names it, is the relation or a partition of it.
    """
    if not where:
        yield
        return
    try:
        require_condition(where)  # it comes from the checkpoint, which is a document
    except ConditionError as error:
        raise SourceError(f"the condition isn't the one that was checked: {error}") from error
    # It holds a lock, also for a role that can't take one by itself: so what isn't there from now
    # on, though it was when the condition was checked, only the condition names.
    connection.execute(look_at_columns(relation, table))
    connection.execute(f"set local statement_timeout = '{CONDITION_TIMEOUT_SECONDS}s'".encode())
    try:
        yield
    except psycopg.Error as error:
        if not (error.sqlstate or _CUT_OFF).startswith(_OF_NO_CONDITION):
            raise SourceError(_blaming(error, table)) from error
        if error.diag.context is None:
            raise
        # It was in a function of somebody's, which can have said it in its own words.
        why = f"could not read table {table} by the condition: {_kind(error)}"
        raise RetryError(why, reason="unavailable") from error


def _blaming(error: psycopg.Error, table: str) -> str:
    """Why rows can't be read by a condition, without any value of a row.

    What the server says of a row has its values, also those of protected columns. Not so where it
    points to a place in the statement: that is then before any row was read.
    """
    if error.diag.statement_position is not None:
        return f"the condition can't be run any more: {_said(error)}"
    if isinstance(error, errors.QueryCanceled):
        return (
            f"reading some rows of {table} by the condition was cut off (the limit is "
            f"{CONDITION_TIMEOUT_SECONDS} s): write one that can use an index or a simpler one, or "
            "read all rows"
        )
    return (
        f"reading some rows of {table} by the condition failed: {_kind(error)}. PostgreSQL's "
        "own words may hold values of a row: they are in its log. It would fail again: write "
        "another one, or read all rows"
    )


def _kind(error: psycopg.Error) -> str:
    """What the server calls such errors: `division by zero (SQLSTATE 22012)`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    return f"{words} (SQLSTATE {error.sqlstate})"


def _said(error: psycopg.Error) -> str:
    return " ".join(str(error.diag.message_primary or error).split())
