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

_UNHINDERED: Final = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
"""Whatever is set for the role: a large read takes as long as the sink does."""
_SOCKET_OPTIONS: Final = (
    (socket.TCP_KEEPIDLE, "keepalives_idle"),
    (socket.TCP_KEEPINTVL, "keepalives_interval"),
    (socket.TCP_KEEPCNT, "keepalives_count"),
    (socket.TCP_USER_TIMEOUT, "tcp_user_timeout"),
)
_DEFAULT_ROOT: Final = "~/.postgresql/root.crt"
_PASSING: Final = ("08", "40", "53", "55P03", "57P", "58")
"""How SQLSTATEs of what passes by itself begin: lost connections, conflicts, no room, locks."""
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
                startup_params={"options": _options(settings), "client_encoding": "UTF8"},
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
    """As strict as `sslmode` says: libpq's connection beside it has been so already."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    mode = settings.get("sslmode") or "prefer"
    root = str(settings.get("sslrootcert") or Path(_DEFAULT_ROOT).expanduser())
    context.check_hostname = mode == "verify-full"
    if mode.startswith("verify-"):
        if root == "system":
            context.load_default_certs()
        else:
            context.load_verify_locations(root)
    else:
        context.verify_mode = ssl.CERT_NONE
    if settings.get("sslcert"):
        context.load_cert_chain(settings["sslcert"], settings.get("sslkey"))
    return context


def _options(settings: Mapping[str, Any]) -> str:
    ours = {**SESSION_SETTINGS, **WAITS_FOR_NOBODY, **_UNHINDERED}
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
