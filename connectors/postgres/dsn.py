"""Connection strings as libpq understands them: checked, taken apart, shown without secrets."""

from __future__ import annotations

import re
from typing import Any, Final

import psycopg
from psycopg import conninfo

from cdc_daemon.errors import SourceError

IDENTIFIER_BYTES: Final = 63
"""PostgreSQL cuts longer names off in silence (NAMEDATALEN - 1)."""

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

_SECRET_SETTING: Final = re.compile(
    r"""((?:(?:ssl)?password|oauth_client_secret|scram_\w+_key)\s*=\s*)('(?:[^'\\]|\\.)*'?|(?:[^\s&\\]|\\.)*)""",
    re.IGNORECASE | re.DOTALL,
)
_CREDENTIALS: Final = re.compile(r"^(postgres(?:ql)?://[^:/?#@]*):.*@", re.DOTALL)


def identifier(value: str) -> str:
    """A name as PostgreSQL takes it whole. Raises ValueError."""
    if not value or "\0" in value or len(value.encode()) > IDENTIFIER_BYTES:
        raise ValueError(f"expected a name of 1 to {IDENTIFIER_BYTES} bytes")
    return value


def require_dsn(text: str) -> None:
    """Raise ValueError unless it looks like a connection string."""
    if not text.startswith(("postgresql://", "postgres://")) and "=" not in text:
        raise ValueError(
            "expected a libpq connection string such as postgresql://user@host:5432/database "
            "or host=localhost dbname=shop"
        )


def redact(dsn: str) -> str:
    """The connection string without its passwords, for people to see."""
    return _CREDENTIALS.sub(r"\1:***@", _SECRET_SETTING.sub(r"\1***", dsn))


def connection_settings(dsn: str, *, name: str, setting: str = "source.dsn") -> dict[str, Any]:
    """What the string says, by libpq's names, and what it doesn't say that we need.

    `name` is what we call ourselves, `setting` what the configuration calls the string. Raises
    SourceError where libpq doesn't understand it.
    """
    settings = _parsed(dsn, setting)
    settings.setdefault("connect_timeout", CONNECT_TIMEOUT_SECONDS)
    for each, value in NOTICE_A_LOST_PEER.items():
        settings.setdefault(each, value)
    settings["application_name"] = name
    settings["client_encoding"] = "UTF8"
    return settings


def _parsed(dsn: str, setting: str) -> dict[str, Any]:
    try:
        settings = dict(conninfo.conninfo_to_dict(dsn))
    except psycopg.Error as error:
        # libpq quotes what it stumbled over, and that may be a piece of the password.
        why = re.sub(r'"[^"]*"', '"..."', " ".join(str(error).split()))
        raise _unreadable(setting, why) from None
    if not re.fullmatch(r"[0-9,]*", str(settings.get("port") or "")):
        raise _unreadable(setting, "the port is no number")
    if "@" in str(settings.get("host") or ""):
        raise _unreadable(setting, "the host has an @, which is a part of the password more likely")
    return settings


def _unreadable(setting: str, why: str) -> SourceError:
    return SourceError(
        f"{setting} is no connection string that libpq understands: {why}. Write "
        "postgresql://user:password@host:5432/database, and in the password %40 for @, %2F for /, "
        "%3A for : and %25 for %"
    )
