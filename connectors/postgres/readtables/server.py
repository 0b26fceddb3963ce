"""Connections to the sink's database: each as we need it, and all of them of one history."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

import psycopg

from cdc_daemon.errors import SinkError, SourceError, StartAgainError
from cdc_daemon.values import SESSION_SETTINGS
from connectors.postgres.dsn import connection_settings
from connectors.postgres.readtables.errors import mapped_errors
from connectors.postgres.session import WAITS_FOR_NOBODY, Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.postgres.readtables.config import ReadTablesConfig

Statement: TypeAlias = psycopg.sql.Composable

UNHINDERED: Final = {
    "default_transaction_isolation": r"read\ committed",
    "idle_session_timeout": "0",
}
"""Whatever the role or the database has: in other isolations an upsert fails where another writer
was first, and idle connections are kept."""

# An error on a standby: nothing can be written there.
_HISTORY: Final = """
select system_identifier || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
from pg_catalog.pg_control_system()
"""


class Server:
    """The database that the read tables are in. Any thread may use it."""

    def __init__(self, config: ReadTablesConfig, *, name: str) -> None:
        """`name` is what we call ourselves. Connects to nothing yet."""
        self.schema = config.schema_
        ours = {
            **SESSION_SETTINGS,
            # Also because a commit of ours that waited for us would wait for ever.
            **WAITS_FOR_NOBODY,
            **UNHINDERED,
            "statement_timeout": f"{config.timeout * 1000:.0f}ms",
        }
        try:
            self._settings = connection_settings(
                config.dsn.get_secret_value(), name=name, setting="the sink's dsn"
            )
        except SourceError as error:
            raise SinkError(str(error)) from error
        options = " ".join(f"-c {key}={value}" for key, value in ours.items())
        self._settings["options"] = f"{self._settings.get('options') or ''} {options}".strip()
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._history: str | None = None

    @property
    def history(self) -> str:
        """System identifier and timeline, once anything was connected."""
        return self._history or ""

    def adopt(self) -> None:
        """Take the history that the server is in from now on for the one that we write in."""
        self.close()
        with self._lock:
            self._history = None

    def connect(self) -> Connection:
        """A connection of its own.

        Raises StartAgainError where the server has another history than the one before: what was
        durable there may be lost here.
        """
        with mapped_errors("connect to the sink", self._settings):
            connection = psycopg.connect(**self._settings, autocommit=True)
        try:
            with mapped_errors("ask for the server's history"):
                [(history,)] = connection.execute(_HISTORY)
            self._require_same(history)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def session(self, doing: str) -> Iterator[Connection]:
        """Borrow a connection: what fails meanwhile has failed to do what is said."""
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        connection = kept or self.connect()
        try:
            with mapped_errors(doing):
                yield connection
        finally:
            with self._lock:
                if not connection.closed:
                    self._idle.append(connection)

    def close(self) -> None:
        """Close what nobody has borrowed. Safe to call twice."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _require_same(self, history: str) -> None:
        with self._lock:
            if self._history is None:
                self._history = history
        if self._history != history:
            raise StartAgainError(
                f"the sink's history is another one now: {history}, it was {self._history} (a "
                "failover, or a restore)"
            )
