"""Sessions by pg8000, a driver in Python: values come as the server writes them, and a wait for
notifications can be interrupted.

libpq knows how to find a server: several hosts, a service, a file of passwords, TLS. So a session
of this kind begins beside one of libpq, and goes to the very server that it has found.
"""  # noqa: D205 - one sentence

from __future__ import annotations

import os
import select
import socket
import ssl
from collections import defaultdict
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection as NativeConnection

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.values import SESSION_SETTINGS
from connectors.postgres.dsn import NOTICE_A_LOST_PEER
from connectors.postgres.session import WAITS_FOR_NOBODY, libpq

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectors.postgres.session import Connection

Texts: TypeAlias = tuple[str | None, ...]
"""A line of a result: of each column what the server wrote, None for null."""

_UNHINDERED: Final = {
    "statement_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "5min",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
}
"""Whatever is set for the role: a large read takes its time, and a wait as well. But the server
notices a daemon that is cut off or frozen: it holds a lock, and perhaps a snapshot."""
_TRANSACTION_TIMEOUT: Final = ("transaction_timeout", 170000)
"""A setting, and the version that it came with."""
_SOCKET_OPTIONS: Final = (
    (socket.TCP_KEEPIDLE, "keepalives_idle"),
    (socket.TCP_KEEPINTVL, "keepalives_interval"),
    (socket.TCP_KEEPCNT, "keepalives_count"),
    (socket.TCP_USER_TIMEOUT, "tcp_user_timeout"),
)
_FILES: Final = "~/.postgresql"
"""Where libpq looks for certificates that the DSN doesn't name."""
_CANNOT_BE_HELD: Final = ("require_auth", "sslcrl", "sslcrldir")
"""Settings of libpq by which a server may be refused, and that pg8000 doesn't know."""
_PASSING: Final = ("08", "25006", "25P", "40", "53", "55P03", "57", "58")
"""How SQLSTATEs of what passes by itself begin: lost connections, a server that has become a
standby, timeouts, conflicts, no room, locks, whoever cancels statements."""
_NO_PRIVILEGE: Final = "42501"


class StatementError(SourceError):
    """The server refuses a statement, and would refuse it again."""

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Lines(Protocol):
    """Takes the lines of COPY."""

    def write(self, line: bytes) -> object:
        """One of them, with its end."""


class PureConnection:
    """One session. One thread owns it."""

    def __init__(self, native: NativeConnection, connected: socket.socket, descriptor: int) -> None:
        self._native: NativeConnection | None = native
        self._socket = connected
        self._descriptor = descriptor
        native.pg_types = defaultdict(lambda: _as_it_is)

    @property
    def closed(self) -> bool:
        """Whether it was closed, or lost."""
        return self._native is None

    def rows(self, statements: str, doing: str = "ask the server") -> list[Texts]:
        """What the statements give, one result after the other; `doing` says why, for people.

        Several in one text are one transaction unless they say otherwise. Raises RetryError where
        the connection was lost, or what hinders them passes; StatementError otherwise.
        """
        if self._native is None:
            raise RetryError(f"could not {doing}: not connected", reason="disconnected")
        try:
            with _mapped(doing):
                found = self._native.run(statements)
        except RetryError as error:
            if isinstance(error.__cause__, InterfaceError | OSError):
                self.close()
            raise
        return [tuple(line) for line in found or ()]

    def copy(self, statement: str, lines: Lines, doing: str) -> None:
        """Have each line of COPY ... TO STDOUT written to `lines`, as the server sends it.

        Raises what `rows` does. Where `lines` raises, the session is of no use any more.
        """
        if self._native is None:
            raise RetryError(f"could not {doing}: not connected", reason="disconnected")
        with _mapped(doing):
            self._native.execute_unnamed(statement, stream=lines)

    def wait(self, wake_descriptor: int, seconds: float) -> None:
        """Until the server says something of its own accord, somebody wakes us, or it is time.

        What it says is taken by the next statement.
        """
        if self._native is not None and not self._native.notifications:
            with suppress(OSError):
                select.select([self._descriptor, wake_descriptor], [], [], seconds)

    def take_notifications(self) -> bool:
        """Whether there were any since the last look."""
        if self._native is None or not self._native.notifications:
            return False
        self._native.notifications.clear()
        return True

    def close(self) -> None:
        """Close it. Safe to call twice."""
        native, self._native = self._native, None
        if native is not None:
            with suppress(InterfaceError, OSError, ValueError):
                native.close()
            if self._socket.fileno() >= 0:  # the driver leaves that to the garbage collector
                os.close(self._socket.detach())


def connect_beside(queries: Connection, name: str) -> PureConnection:
    """A session on the server that `queries` is connected to; the same role, the same database.

    Raises RetryError when it can't be reached, SourceError when it refuses us.
    """
    settings: dict[str, Any] = {**NOTICE_A_LOST_PEER, **queries.info.get_parameters()}
    _require_holdable(settings)
    with _mapped("connect to PostgreSQL"):
        connected = _connected_socket(queries, settings)
        descriptor = connected.fileno()
        try:
            native = NativeConnection(
                queries.info.user,
                host=queries.info.host or "localhost",
                database=queries.info.dbname,
                password=queries.info.password or None,
                ssl_context=_tls(settings) if libpq(queries).ssl_in_use else False,
                application_name=name,
                startup_params={"options": _options(queries, settings), "client_encoding": "UTF8"},
                sock=connected,
            )
        except BaseException:
            connected.close()
            raise
    return PureConnection(native, connected, descriptor)


def _connected_socket(queries: Connection, settings: Mapping[str, Any]) -> socket.socket:
    timeout = float(settings.get("connect_timeout") or 0) or None
    host = queries.info.host
    if host.startswith("/"):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(timeout)
        made.connect(f"{host}/.s.PGSQL.{queries.info.port}")
    else:
        address = (queries.info.hostaddr or host, queries.info.port)
        made = socket.create_connection(address, timeout)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, setting in _SOCKET_OPTIONS:
            made.setsockopt(socket.IPPROTO_TCP, option, int(settings[setting]))
    made.settimeout(None)
    return made


def _tls(settings: Mapping[str, Any]) -> ssl.SSLContext:
    """As strict as libpq: where there is a root certificate, the server's is checked by it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if (least := settings.get("ssl_min_protocol_version")) == "TLSv1.3":
        context.minimum_version = ssl.TLSVersion[least.replace(".", "_")]
    root = settings.get("sslrootcert") or str(Path(_FILES, "root.crt").expanduser())
    context.check_hostname = settings.get("sslmode") == "verify-full" or root == "system"
    if root == "system":
        context.load_default_certs()
    elif Path(root).exists():
        context.load_verify_locations(root)
    else:  # libpq has refused the connection beside this one where one is wanted
        context.verify_mode = ssl.CERT_NONE
    certificate = settings.get("sslcert") or str(Path(_FILES, "postgresql.crt").expanduser())
    if Path(certificate).exists():
        key = settings.get("sslkey") or str(Path(_FILES, "postgresql.key").expanduser())
        context.load_cert_chain(certificate, key, password=settings.get("sslpassword") or "")
    return context


def _require_holdable(settings: Mapping[str, Any]) -> None:
    found = [name for name in _CANNOT_BE_HELD if settings.get(name)]
    if settings.get("channel_binding") == "require":
        found.append("channel_binding")
    if found:
        raise SourceError(
            f"source.dsn (or the environment) says {', '.join(found)}, which this type of source "
            "can't keep to: its sessions are not libpq's. Take it out, or use source.type postgres"
        )


def _options(queries: Connection, settings: Mapping[str, Any]) -> str:
    ours = {**SESSION_SETTINGS, **WAITS_FOR_NOBODY, **_UNHINDERED}
    setting, since = _TRANSACTION_TIMEOUT
    if queries.info.server_version >= since:
        ours[setting] = "0"
    said = " ".join(f"-c {key}={value}" for key, value in ours.items())
    return f"{settings.get('options') or ''} {said}".strip()


def _as_it_is(text: str) -> str:
    return text


@contextmanager
def _mapped(doing: str) -> Iterator[None]:
    """Let only the daemon's errors out, as `session.mapped_errors` does."""
    try:
        yield
    except DatabaseError as error:
        raise _of_server(error, doing) from error
    except (InterfaceError, OSError) as error:
        text = " ".join(str(error.__cause__ or error).split())
        raise RetryError(f"could not {doing}: {text}", reason="unavailable") from error


def _of_server(error: DatabaseError, doing: str) -> RetryError | SourceError:
    said = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    code, text = str(said.get("C", "")), str(said.get("M", error))
    if code.startswith(_PASSING):
        reason = "locked" if code.startswith("55P03") else "unavailable"
        return RetryError(f"could not {doing}: {text}", reason=reason)
    if code == _NO_PRIVILEGE:
        return StatementError(f"the role may not {doing}: {text}", code)
    return StatementError(f"could not {doing}: {text}", code)
