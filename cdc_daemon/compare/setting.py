"""Where a technique is tried: a database of its own, its daemon, and the baseline's database."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg

from cdc_daemon.compare import store
from cdc_daemon.compare.technique import Places
from cdc_daemon.embedded.ports import free_port
from cdc_daemon.errors import StopError
from cdc_daemon.outside.daemon_process import HOST, DaemonProcess, prepared_daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.compare.application import Application
    from cdc_daemon.compare.readmodel import ReadModel
    from cdc_daemon.compare.technique import Technique
    from cdc_daemon.embedded import PostgresServer

LOAD_SECONDS: Final = 120.0
CATCH_UP_SECONDS: Final = 300.0
CHANGES: Final = "cdc_changes_received_total"
COUNT_SECONDS: Final = 1.0
"""The daemon counts at each of its heartbeats, which are half a second apart."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers that all techniques are tried on."""

    source: PostgresServer
    search_url: str
    kafka_servers: str
    """Empty where no technique needs them."""
    rows: int
    """Of each store."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A technique that is installed and runs."""

    technique: Technique
    baseline_dsn: str
    """The same store without any technique, made at the same time."""
    places: Places
    daemon: DaemonProcess | None
    relay: DaemonProcess | None = None
    """What brings its daemon the changes."""

    @property
    def dsn(self) -> str:
        """The database of its application."""
        return self.places.dsn

    def application(self) -> Application:
        """A client of it."""
        return self.technique.application(self.places)

    def read_model(self) -> ReadModel:
        """What its readers have. Raises StopError if there is none."""
        if self.technique.read_model is None:
            raise StopError(f"{self.technique.name} has no read model")
        return self.technique.read_model(self.places)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All that is read of the source stands still for as long as the context lasts."""
        daemons = [one for one in (self.daemon, self.relay) if one is not None]
        for one in daemons:
            one.pause()
        try:
            yield
        finally:
            for one in daemons:
                one.resume()

    def catch_up(self) -> None:
        """Wait until all that was committed until now can be found, by the daemon's own word.

        A technique whose daemon doesn't read the source has nothing to wait for.
        """
        if self.daemon is not None and self.technique.reads_source:
            self.daemon.catch_up(self.dsn, CATCH_UP_SECONDS)

    def received(self) -> int | None:
        """How many changes its daemon has read since it was started; None without one.

        Asked while nobody writes: it is waited for until the number stands still.
        """
        if self.daemon is None:
            return None
        before, now = -1.0, self.daemon.total(CHANGES)
        while before != now:
            time.sleep(COUNT_SECONDS)
            before, now = now, self.daemon.total(CHANGES)
        return int(now)


@contextmanager
def installed(technique: Technique, stage: Stage) -> Iterator[Setting]:
    """Set the technique up as a user would, and let it load what is there."""
    with (
        store.database(stage.source, "baseline", stage.rows) as baseline,
        store.database(stage.source, "technique", stage.rows) as dsn,
    ):
        with psycopg.connect(dsn) as connection:
            connection.execute(technique.sql)
        port = free_port()
        url = f"http://{HOST}:{port}"
        places = Places(dsn, stage.search_url, url, technique.read_model_name)
        if technique.source is None:
            yield Setting(technique, baseline, places, None)
            return
        variables = {
            "DATABASE_URL": dsn,
            "OPENSEARCH_URL": stage.search_url,
            "KAFKA_SERVERS": stage.kafka_servers,
        }
        with (
            _relay(technique, variables) as relay,
            prepared_daemon(technique.configuration(), port, variables, _quiet) as daemon,
        ):
            for command in technique.commands:
                daemon.command(*command)
            _start(daemon)
            if technique.load is not None:
                technique.load(places)
            yield Setting(technique, baseline, places, daemon, relay)


@contextmanager
def _relay(technique: Technique, variables: dict[str, str]) -> Iterator[DaemonProcess | None]:
    if not technique.is_relayed:
        yield None
        return
    with prepared_daemon(technique.relay(), free_port(), variables, _quiet, name="relay") as relay:
        _start(relay)
        yield relay


def _start(daemon: DaemonProcess) -> None:
    daemon.start()
    if not daemon.wait_until(lambda shown: shown.get("state") == "streaming", LOAD_SECONDS):
        raise StopError(f"the first load did not end within {LOAD_SECONDS:.0f} s")


def _quiet(_: str) -> None:
    """The daemon starts once or twice for each technique: not worth a line."""
