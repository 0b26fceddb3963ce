"""Random joined worlds through the log of a relay, while daemon, database and Kafka are killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.generators.daemons import daemons
from tests.generators.followed_worlds import How, Servers, play_worlds
from tests.generators.searched import IndexSearch
from tests.generators.world_relay import WorldRelay

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from cdc_daemon.embedded import KafkaServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon


def test_random_worlds(
    database: Database,
    start_daemon: StartDaemon,
    kafka: KafkaServer,
    rest: Rest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each document is that of the commit which its version names, and that of SQL at the end."""
    source = {"type": "relay", "bootstrap_servers": kafka.bootstrap_servers, "log": "later"}
    daemon = start_daemon({}, source=source, start=False)
    sink = {"type": "kafka", "bootstrap_servers": kafka.bootstrap_servers}
    with daemons(database.dsn, sink, tmp_path) as make_relay:
        relay = WorldRelay(make_relay)
        servers = Servers(database.server, kafka)
        with capsys.disabled():
            how = How(install=relay.install)
            play_worlds(database, daemon, IndexSearch(rest), servers, how)
