"""The daemons of the demo: one, or a relay into Kafka and projectors that share the documents."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon import embedded
from cdc_daemon.demo import store
from cdc_daemon.demo.figures import merged, read
from cdc_daemon.embedded.ports import free_port
from cdc_daemon.embedded.progress import to_stderr
from cdc_daemon.errors import StopError
from cdc_daemon.outside.daemon_process import DaemonProcess, running_daemon

if TYPE_CHECKING:
    from contextlib import ExitStack

    from cdc_daemon.demo.figures import Reading

PROJECTORS: Final = 2
LOAD_SECONDS: Final = 180.0
ALONE: Final = "PostgreSQL → cdc-daemon → OpenSearch"
SHARED: Final = f"PostgreSQL → relay → Kafka → {PROJECTORS} projectors → OpenSearch"


@dataclass(frozen=True, slots=True)
class Daemons:
    """All that run, by what each does; the first of `writing` is the one that is asked."""

    way: str
    """How changes go, for people."""
    writing: tuple[DaemonProcess, ...]
    relay: DaemonProcess | None = None

    @property
    def named(self) -> dict[str, DaemonProcess]:
        """Each by its job; the empty name is that of one alone."""
        if self.relay is None:
            return {"": self.writing[0]}
        projectors = {f" of projector {number}": one for number, one in enumerate(self.writing, 1)}
        return {**projectors, " of the relay": self.relay}

    def require_running(self) -> None:
        """Raise StopError, with the end of its log, if one has ended whose work nobody takes over.

        The other projectors may be killed: to see what becomes of their documents.
        """
        self.writing[0].require_running()
        if self.relay is not None:
            self.relay.require_running()

    def read(self, taken: float) -> Reading | None:
        """What they count, together; None when one doesn't answer."""
        readings = [read(daemon.metrics_url, taken) for daemon in self.writing]
        return merged([one for one in readings if one]) if all(readings) else None

    def see_load(self) -> None:
        """Wait until all rows that were there are searchable. Raises StopError if that is late."""
        began = time.monotonic()
        for daemon in self.writing:
            _see_streaming(daemon)
        reading = read(self.writing[0].metrics_url, time.monotonic())
        rows = reading.loaded_rows if reading else 0
        to_stderr(f"First load: {rows:,} rows searchable after {time.monotonic() - began:.1f} s")

    def catch_up(self, dsn: str, seconds: float) -> None:
        """Wait until all that is committed is searchable, by the word of the one that is asked."""
        self.writing[0].catch_up(dsn, seconds)


def _see_streaming(daemon: DaemonProcess) -> None:
    if not daemon.wait_until(_is_ready, LOAD_SECONDS):
        raise StopError(f"{daemon.name} did not get to the stream within {LOAD_SECONDS:.0f} s")


def _is_ready(shown: dict[str, Any]) -> bool:
    """Whether it follows the stream, and writes documents if it shares them with others."""
    has_share = shown.get("replica", {}).get("slots") != []
    return shown.get("state") == "streaming" and has_share


def one_daemon(stack: ExitStack, variables: dict[str, str], port: int) -> Daemons:
    """One that follows PostgreSQL itself."""
    daemon = running_daemon(store.configuration(), port, variables, to_stderr)
    return Daemons(ALONE, (stack.enter_context(daemon),))


def relay_and_projectors(stack: ExitStack, variables: dict[str, str], port: int) -> Daemons:
    """A Kafka, what writes PostgreSQL's changes to it, and those who make documents of them."""
    kafka = stack.enter_context(embedded.kafka())
    known = {**variables, "KAFKA_SERVERS": kafka.bootstrap_servers}
    relay = running_daemon(store.relay_configuration(), free_port(), known, to_stderr, name="relay")
    started = stack.enter_context(relay)
    _see_streaming(started)  # before that there is no log to read
    projectors = []
    for number in range(PROJECTORS):
        projector = running_daemon(
            store.projector_configuration(),
            free_port() if number else port,
            known,
            to_stderr,
            name=f"projector {number + 1}",
            arguments=("--role", "projector"),
        )
        projectors.append(stack.enter_context(projector))
    return Daemons(SHARED, tuple(projectors), started)
