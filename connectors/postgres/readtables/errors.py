"""What psycopg raises at the sink, as the daemon's errors: in one place."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import errors

from cdc_daemon.errors import RetryError, SinkError
from connectors.postgres.session import address_of, is_refusal, is_transient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

POISON: Final = (
    errors.DataError,
    errors.IntegrityError,
    errors.ProgramLimitExceeded,
    errors.StatementTooComplex,
)
"""What is wrong with a document, and not with the table or the server: a value that its column
doesn't take, a constraint that somebody has added, an id that is too long for an index."""

_TABLE_GONE: Final = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.DatatypeMismatch,
    errors.InvalidSchemaName,
)
_PASSES: Final = (errors.ReadOnlySqlTransaction,)
"""Beside what is transient everywhere: a primary that has become a standby a moment ago."""


@contextmanager
def mapped_errors(doing: str, settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Let only the daemon's errors out; `settings`: those of a connection that is being made."""
    try:
        yield
    except psycopg.Error as error:
        raise _mapped(error, doing, settings) from error


def _mapped(
    error: psycopg.Error, doing: str, settings: Mapping[str, Any] | None
) -> RetryError | SinkError:
    text = " ".join(str(error).split())
    where = f" at {address_of(settings)}" if settings else ""
    if settings is not None and is_refusal(error):
        return SinkError(
            f"PostgreSQL{where} refuses the connection: {text}. Check user, password, database and "
            "TLS settings in the sink's dsn; the role needs LOGIN and a line in pg_hba.conf."
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return SinkError(
            f"the role of the sink may not {doing}{where}: {text}. What it needs is in "
            "docs/how-to/least-privileges.md"
        )
    if isinstance(error, _PASSES) or is_transient(error):
        return RetryError(f"could not {doing}{where}: {text}", reason=_reason(error))
    return SinkError(f"could not {doing}{where}: {text}")


def _reason(error: psycopg.Error) -> str:
    if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable):
        return "timeout"
    return "overloaded" if isinstance(error, errors.InsufficientResources) else "unavailable"


def is_table_gone(error: psycopg.Error) -> bool:
    """Whether a table isn't there any more, or isn't what we made."""
    return isinstance(error, _TABLE_GONE)


def condition_name(error: psycopg.Error) -> str:
    """PostgreSQL's name of the condition: `invalid_text_representation`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
