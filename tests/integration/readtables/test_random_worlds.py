"""Random worlds under concurrent transactions: what read tables show, with SQL as the oracle.

PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run: its first worlds are those that
failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.generators.followed_worlds import Servers, play_worlds

if TYPE_CHECKING:
    import pytest

    from cdc_daemon.embedded import PostgresServer
    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.read_tables import TableSearch


def test_random_worlds(
    database: Database,
    postgres_server: PostgresServer,
    start_daemon: StartDaemon,
    tables: TableSearch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each document is that of the commit which its version names, and that of SQL at the end.

    Daemon and server, which is source and sink, are killed meanwhile.
    """
    daemon = start_daemon({}, start=False)
    with capsys.disabled():
        play_worlds(database, daemon, tables, Servers(postgres_server))
