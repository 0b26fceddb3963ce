"""The clock of a projector: whether commits of its database wait for the relay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.ports import Standing
from connectors.postgres.clock import DatabaseClock
from connectors.postgres.session import mapped_errors
from connectors.postgres.standbynames import daemon_name, read_names

if TYPE_CHECKING:
    from connectors.postgres.database import Database

_NAMES: Final = "show synchronous_standby_names"


class RelayedClock(DatabaseClock):
    """A `SourceClock` of a database whose commits may wait for the relay of that name."""

    def __init__(self, database: Database, relay: str) -> None:
        super().__init__(database.dsn, database.name)
        self._relay = daemon_name(relay)

    def standing(self) -> Standing:
        """Whether the server names the relay. That it is one just now the relay itself knows."""
        with mapped_errors("read who commits wait for"):
            [(setting,)] = self.connected().execute(_NAMES.encode())
        return Standing(named=read_names(setting).place(self._relay) > 0)
