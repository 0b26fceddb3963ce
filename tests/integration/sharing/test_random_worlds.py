"""Random joined worlds through a relay and replicas, while all of them are killed and frozen.

PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run: its first worlds are those that
failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon import embedded
from cdc_daemon.embedded.ports import HOST, free_port
from tests.generators.budget import budget_seconds
from tests.generators.daemons import daemons
from tests.generators.followed_worlds import How, Servers, play_worlds
from tests.generators.replicas import Replicas
from tests.generators.searched import IndexSearch
from tests.generators.wire import wire_to
from tests.generators.world_relay import WorldRelay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.embedded import KafkaServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.wire import Wire
    from tests.integration.pipeline.conftest import StartDaemon


LARGE = How(together=4, most_kills=4)
"""Each of the replicas keeps the rows of all."""
SMALL = How(together=1, commits=10, most_kills=2)
"""Three replicas have to start, load and share the documents: that takes most of the time."""
LONG_SECONDS = 60.0


@pytest.fixture
def wire() -> Iterator[Wire]:
    """To Kafka, which says to whoever comes by it that this is its address."""
    with wire_to(free_port()) as made:
        yield made


@pytest.fixture
def wired_kafka(wire: Wire) -> Iterator[KafkaServer]:
    """A Kafka that is reached in two ways."""
    port = free_port()
    controller = f"{HOST}:{free_port(other_than=port)}"
    settings = {
        "listeners": (
            f"PLAINTEXT://{HOST}:{port},WIRE://{HOST}:{wire.target_port},CONTROLLER://{controller}"
        ),
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},WIRE://{HOST}:{wire.port}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,WIRE:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "controller.quorum.voters": f"1@{controller}",
    }
    with embedded.kafka(port=port, settings=settings, progress=lambda _: None) as server:
        yield server


@pytest.fixture
def replicas(
    database: Database,
    start_daemon: StartDaemon,
    wired_kafka: KafkaServer,
    wire: Wire,
    tmp_path: Path,
) -> Iterator[Replicas]:
    """Three of them, with a relay that isn't there yet."""
    direct = wired_kafka.bootstrap_servers
    members = []
    for at, servers in enumerate((f"{HOST}:{wire.port}", direct, direct)):
        source = {"type": "relay", "bootstrap_servers": servers, "log": "later"}
        one = start_daemon({}, folder=f"replica{at}", source=source, start=False)
        one.options = ("--role", "projector")
        members.append(one)
    with daemons(database.dsn, {"type": "kafka", "bootstrap_servers": direct}, tmp_path) as make:
        yield Replicas(members, wire, WorldRelay(make))


def test_random_worlds(
    database: Database,
    replicas: Replicas,
    wired_kafka: KafkaServer,
    rest: Rest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each document is that of the commit which its version names, and that of SQL at the end."""
    servers = Servers(database.server, wired_kafka)
    with capsys.disabled():
        how = LARGE if budget_seconds() > LONG_SECONDS else SMALL
        how = how._replace(install=replicas.relay.install)
        play_worlds(database, replicas, IndexSearch(rest), servers, how)
