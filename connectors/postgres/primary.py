"""The primary of the standby that is followed: asked for what only a primary can do."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import SourceError
from connectors.postgres.history import require_primary
from connectors.postgres.session import connect, mapped_errors

if TYPE_CHECKING:
    from cdc_daemon.events import Position
    from connectors.postgres.session import Connection
    from connectors.postgres.walpages import WalPages

_SYSTEM: Final = "select system_identifier::text from pg_catalog.pg_control_system()"
_END: Final = "select pg_current_wal_insert_lsn() - '0/0'"


class Primary:
    """Where `source.primary_dsn` leads. Each connection is its caller's."""

    def __init__(self, dsn: str, name: str) -> None:
        self.dsn = dsn
        self._name = name

    def connect(self) -> Connection:
        """Raises RetryError if it can't be reached, or is a standby just now."""
        connection = connect(self.dsn, name=self._name, setting="source.primary_dsn")
        try:
            require_primary(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def require_same_system(self, standby: Connection) -> None:
        """Raise SourceError if the standby is one of another primary."""
        with closing(self.connect()) as connection:
            require_same_system(connection, standby)


def require_same_system(primary: Connection, standby: Connection) -> None:
    """Raise SourceError if the standby is one of another primary."""
    if _system(primary) != _system(standby):
        raise SourceError(
            "source.primary_dsn leads to another database cluster than source.dsn: its publication "
            "and its time are not those of the standby. Let it lead to the primary of that standby "
            "(there: select conninfo from pg_stat_wal_receiver)"
        )


def _system(connection: Connection) -> str:
    """What all physical copies of a cluster share."""
    with mapped_errors("ask which system the server is"):
        [(found,)] = connection.execute(_SYSTEM)
    return str(found)


def end_of_log(primary: Connection, pages: WalPages) -> Position:
    """Where the last record of the log ends."""
    with mapped_errors("read where the primary's log ends"):
        [(end,)] = primary.execute(_END)
    return pages.last_end(int(end))
