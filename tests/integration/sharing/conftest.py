"""What the tests of replicas share: a database and its ordered log, and projectors that read it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.generators.daemons import daemons
from tests.generators.replicas import shares
from tests.generators.running_daemon import until
from tests.integration.joined.conftest import (  # noqa: F401 - the fixtures, for all tests here
    HOTELS,
    Store,
    store,
)
from tests.integration.pipeline.conftest import (  # noqa: F401 - as above
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cdc_daemon.embedded import KafkaServer
    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.running_daemon import RunningDaemon

TABLES = ["public.chain", "public.hotel", "public.room", "public.tag", "public.hotel_tag"]
PROJECTIONS: dict[str, Any] = {
    **HOTELS,
    "rooms": {"from": "room", "fields": ["id", "kind", "price"]},
}
SECONDS = 60.0


class Projectors:
    """Replicas of one pipeline over a store, each in a folder of its own."""

    def __init__(self, store: Store, source: Mapping[str, Any], start: StartDaemon) -> None:  # noqa: F811 - a parameter
        self.store = store
        self._source = source
        self._start = start
        self.projections = PROJECTIONS
        self.all: list[RunningDaemon] = []

    def add(self, prepare: Callable[[], None] | None = None) -> RunningDaemon:
        """One more, on a machine of its own; `prepare` as in `RunningDaemon.start`."""
        folder = f"replica{len(self.all)}"
        one = self._start(self.projections, start=False, folder=folder, source=self._source)
        one.options = ("--role", "projector")
        one.start(prepare)
        self.all.append(one)
        return one

    @property
    def running(self) -> list[RunningDaemon]:
        """Those that haven't ended."""
        return [one for one in self.all if one.is_running]

    def wait_shared(self, *members: RunningDaemon, seconds: float = SECONDS) -> None:
        """Wait until these write all documents, each some of them."""
        until(lambda: self.share(*members), seconds, f"{len(members)} share the documents")

    def share(self, *members: RunningDaemon) -> bool:
        """Whether these write all documents, each some of them."""
        return shares([one.status() for one in members])

    def catch_up(self) -> None:
        """Wait until each of them says that all is searchable."""
        for one in self.running:
            one.catch_up(SECONDS)

    def thaw(self) -> None:
        """Let those go on that were stopped: what isn't ended by a signal must be."""
        for one in self.running:
            one.signal(signal.SIGCONT)


@pytest.fixture
def log(
    database: Database,
    kafka: KafkaServer,
    store: Store,  # noqa: F811, ARG001 - the fixture has made the tables
    tmp_path: Path,
) -> Iterator[Mapping[str, Any]]:
    """The source of projectors, whose log a relay writes meanwhile."""
    name = f"log-{database.name}"
    kafka_at = {"bootstrap_servers": kafka.bootstrap_servers}
    with daemons(database.dsn, {"type": "kafka", **kafka_at}, tmp_path) as make:
        sink = {"log": name, "topic_prefix": name}
        relay = {"tables": TABLES, "snapshot": "never"}
        make({}, folder="relay", name=name, sink=sink, relay=relay).wait_until()
        yield {"type": "relay", "dsn": database.dsn, "log": name, **kafka_at}


@pytest.fixture
def projectors(
    store: Store,  # noqa: F811 - the fixture
    log: Mapping[str, Any],
    start_daemon: StartDaemon,  # noqa: F811 - the fixture
) -> Iterator[Projectors]:
    """None of them is started."""
    made = Projectors(store, log, start_daemon)
    yield made
    made.thaw()
