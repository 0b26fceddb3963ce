"""Open connections as the daemon needs them, and map what psycopg raises to the daemon's errors."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import psycopg
from psycopg import conninfo, errors

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.values import SESSION_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg.pq.abc import PGconn

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

CONNECT_TIMEOUT_SECONDS: Final = 10
"""Used where the DSN has no connect_timeout: libpq's own default is to wait for ever."""

NOTICE_A_LOST_PEER: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A server that vanishes without a word is noticed in half a minute, and not in fifteen: seconds
and, the last one, milliseconds. Only where the DSN says nothing else."""

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


def connect(
    dsn: str,
    *,
    name: str,
    replication: bool = False,
    silence_seconds: float | None = None,
    plain: bool = False,
) -> Connection:
    """Connect with the session settings that values are decoded under.

    The server ends a `replication` connection that says nothing for `silence_seconds`, where they
    are given. A `plain` session has none of our settings: it is as any of that role. Raises
    RetryError when the server can't be reached, SourceError when it refuses us.
    """
    settings = _parsed(dsn)
    asked = {} if plain else {**SESSION_SETTINGS, **WAITS_FOR_NOBODY}
    if silence_seconds is not None:
        asked["wal_sender_timeout"] = f"{silence_seconds * 1000:.0f}ms"
    ours = " ".join(f"-c {key}={value}" for key, value in asked.items())
    settings["options"] = f"{settings.get('options') or ''} {ours}".strip()
    settings.setdefault("connect_timeout", CONNECT_TIMEOUT_SECONDS)
    for setting, value in NOTICE_A_LOST_PEER.items():
        settings.setdefault(setting, value)
    settings["application_name"] = name
    settings["client_encoding"] = "UTF8"
    if replication:
        settings["replication"] = "database"
    with mapped_errors("connect to PostgreSQL", settings):
        return psycopg.connect(**settings, autocommit=True)


def _parsed(dsn: str) -> dict[str, Any]:
    try:
        settings = dict(conninfo.conninfo_to_dict(dsn))
    except psycopg.Error as error:
        # libpq quotes what it stumbled over, and that may be a piece of the password.
        raise _unreadable(re.sub(r'"[^"]*"', '"..."', " ".join(str(error).split()))) from None
    if not re.fullmatch(r"[0-9,]*", str(settings.get("port") or "")):
        raise _unreadable("the port is no number")
    if "@" in str(settings.get("host") or ""):
        raise _unreadable("the host has an @, which is a part of the password more likely")
    return settings


def _unreadable(why: str) -> SourceError:
    return SourceError(
        f"source.dsn is no connection string that libpq understands: {why}. Write "
        "postgresql://user:password@host:5432/database, and in the password %40 for @, %2F for /, "
        "%3A for : and %25 for %"
    )


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
    where = f" at {_address(settings)}" if settings else ""
    if settings is not None and _is_refusal(error, text):
        return SourceError(
            f"PostgreSQL{where} refuses the connection: {text}. Check user, password, database and "
            "TLS settings in source.dsn; the role needs LOGIN and REPLICATION "
            "(alter role NAME login replication) and a line in pg_hba.conf."
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return SourceError(f"the role may not {doing}{where}: {text}")
    if isinstance(error, errors.ObjectInUse):
        return RetryError(f"could not {doing}{where}: {text}", reason="slot_in_use")
    if isinstance(error, _TRANSIENT) and not isinstance(error, _PERMANENT):
        return RetryError(f"could not {doing}{where}: {text}", reason="unavailable")
    return SourceError(f"could not {doing}{where}: {text}")


def _is_refusal(error: psycopg.Error, text: str) -> bool:
    return isinstance(error, _WRONG_LOGIN) or any(known in text for known in _WRONG_LOGIN_TEXTS)


def _address(settings: Mapping[str, Any]) -> str:
    host = settings.get("host") or settings.get("hostaddr") or "the local socket"
    return f"{host}:{settings.get('port') or 5432}, database {settings.get('dbname') or 'default'}"
