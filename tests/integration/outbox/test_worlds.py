"""Random joined worlds through an outbox, while the daemon and the database are killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from cdc_daemon.config.loader import load
from tests.generators.followed_worlds import How, Servers, play_worlds
from tests.generators.outboxes import install_outbox
from tests.generators.searched import IndexSearch

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon


def test_random_worlds(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the end each document is that of SQL."""
    daemon = start_daemon({}, source={"type": "outbox"}, start=False)

    def install(file: Path) -> None:
        configuration = load(file, {}).configuration
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute("drop schema if exists cdc_daemon cascade")
        install_outbox(database.dsn, configuration.name, configuration.tables)

    servers = Servers(database.server)  # the other one has nothing to do with the outbox
    with capsys.disabled():
        how = How(each_commit=False, install=install)
        play_worlds(database, daemon, IndexSearch(rest), servers, how)
