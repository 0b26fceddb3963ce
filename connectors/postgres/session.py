"""Open connections as the daemon needs them, and map what psycopg raises to the daemon's errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import psycopg
from psycopg import errors

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.values import SESSION_SETTINGS
from connectors.postgres.dsn import connection_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg.pq.abc import PGconn

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

WAITS_FOR_NOBODY: Final = {"synchronous_commit": "local"}
"""A commit of the daemon's own (a publication, a message) never waits for a synchronous standby:
that may be the daemon itself, which would wait for its own answer."""

_WRONG_LOGIN: Final = (
    errors.InvalidPassword,
    errors.InvalidAuthorizationSpecification,
    errors.InvalidCatalogName,
)
_WRONG_LOGIN_TEXTS: Final = (
    "password authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "certificate",
    "private key file",
    "does not match host name",
    "is not permitted to log in",
    "must be superuser or replication role",
    "permission denied to start WAL sender",
    "permission denied for database",
    "server does not support SSL",
    "unsupported startup parameter",
)
_PERMANENT: Final = (errors.ObjectNotInPrerequisiteState, errors.ConfigurationLimitExceeded)
"""Of class "operational", but they don't pass by themselves."""
_TRANSIENT: Final = (
    errors.OperationalError,
    errors.InterfaceError,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
)
_GONE_MEANWHILE: Final = "could not open relation with OID"
"""What functions over the catalog say, as an internal error, when a table is just being dropped."""


def connect(
    dsn: str,
    *,
    name: str,
    replication: bool = False,
    silence_seconds: float | None = None,
    plain: bool = False,
    setting: str = "source.dsn",
) -> Connection:
    """Connect with the session settings that values are decoded under.

    The server ends a `replication` connection that says nothing for `silence_seconds`, where they
    are given. A `plain` session has none of our settings: it is as any of that role. Raises
    RetryError when the server can't be reached, SourceError when it refuses us.
    """
    settings = connection_settings(dsn, name=name, setting=setting)
    asked = {} if plain else {**SESSION_SETTINGS, **WAITS_FOR_NOBODY}
    if silence_seconds is not None:
        asked["wal_sender_timeout"] = f"{silence_seconds * 1000:.0f}ms"
    ours = " ".join(f"-c {key}={value}" for key, value in asked.items())
    settings["options"] = f"{settings.get('options') or ''} {ours}".strip()
    if replication:
        settings["replication"] = "database"
    with mapped_errors("connect to PostgreSQL", settings):
        return psycopg.connect(**settings, autocommit=True)


def libpq(connection: Connection) -> PGconn:
    """The documented libpq layer of psycopg under a connection."""
    return connection.pgconn


@contextmanager
def mapped_errors(doing: str, settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Let only the daemon's errors out: lost connections are retried, refusals stop."""
    try:
        yield
    except psycopg.Error as error:
        raise _mapped(error, doing, settings) from error


def _mapped(
    error: psycopg.Error, doing: str, settings: Mapping[str, Any] | None
) -> RetryError | SourceError:
    text = " ".join(str(error).split())
    where = f" at {address_of(settings)}" if settings else ""
    if settings is not None and is_refusal(error):
        return SourceError(
            f"PostgreSQL{where} refuses the connection: {text}. Check user, password, database and "
            "TLS settings in source.dsn; the role needs LOGIN and REPLICATION "
            "(alter role NAME login replication) and a line in pg_hba.conf."
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return SourceError(f"the role may not {doing}{where}: {text}")
    if isinstance(error, errors.ObjectInUse):
        return RetryError(f"could not {doing}{where}: {text}", reason="slot_in_use")
    if is_transient(error):
        return RetryError(f"could not {doing}{where}: {text}", reason="unavailable")
    return SourceError(f"could not {doing}{where}: {text}")


def is_refusal(error: psycopg.Error) -> bool:
    """Whether the server was reached, and doesn't let us in."""
    text = " ".join(str(error).split())
    return isinstance(error, _WRONG_LOGIN) or any(known in text for known in _WRONG_LOGIN_TEXTS)


def is_transient(error: psycopg.Error) -> bool:
    """Whether trying again will help."""
    if isinstance(error, errors.InternalError_):
        return _GONE_MEANWHILE in str(error)
    return isinstance(error, _TRANSIENT) and not isinstance(error, _PERMANENT)


def address_of(settings: Mapping[str, Any]) -> str:
    """Where a connection goes, for people."""
    host = settings.get("host") or settings.get("hostaddr") or "the local socket"
    return f"{host}:{settings.get('port') or 5432}, database {settings.get('dbname') or 'default'}"
