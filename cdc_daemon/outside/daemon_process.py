"""Runs the daemon as anyone would: `cdc-daemon run FILE` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from cdc_daemon.embedded.folder import server_folder
from cdc_daemon.embedded.process import Launch, Server, last_lines
from cdc_daemon.errors import StopError
from cdc_daemon.outside.page import read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOST: Final = "127.0.0.1"
CONFIGURATION: Final = "cdc-daemon.yaml"
COMMAND_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.05
FOLDER_BYTES: Final = 50_000_000
"""Its log; the demo's transactions are too small to be folded on disk."""


class DaemonProcess(Server):
    """The running daemon: addresses, and what it says of itself."""

    @property
    def url(self) -> str:
        """Its web side."""
        return f"http://{HOST}:{self.port}"

    @property
    def status_url(self) -> str:
        """The status, as JSON."""
        return f"{self.url}/api/v1/status"

    @property
    def metrics_url(self) -> str:
        """The metrics, in the Prometheus text format."""
        return f"{self.url}/metrics"

    def status(self) -> dict[str, Any]:
        """What `status_url` says; {} while it doesn't answer. Raises StopError if it has ended."""
        self.require_running()
        text = read_page(self.status_url)
        return json.loads(text) if text else {}

    def total(self, metric: str) -> float:
        """The sum of one of its metrics over all labels; 0 while it doesn't answer."""
        samples = (
            sample
            for family in text_string_to_metric_families(read_page(self.metrics_url) or "")
            for sample in family.samples
        )
        return sum(sample.value for sample in samples if sample.name == metric)

    def require_running(self) -> None:
        """Raise StopError, with the end of its log, if the daemon has ended."""
        if not self.is_running:
            tail = "\n".join(f"  {line}" for line in last_lines(self.log))
            raise StopError(f"the daemon has ended by itself. The end of its log:\n{tail}")

    def wait_until(self, reached: Callable[[dict[str, Any]], bool], seconds: float) -> bool:
        """Wait until the status is as `reached` wants it; False if it isn't within `seconds`."""
        deadline = time.monotonic() + seconds
        while not reached(self.status()):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def catch_up(self, dsn: str, seconds: float) -> None:
        """Wait until everything committed until now is searchable, by the daemon's own word.

        Raises StopError if it isn't within `seconds`.
        """
        with psycopg.connect(dsn, autocommit=True) as connection:
            row = connection.execute("select pg_current_wal_flush_lsn() - '0/0'").fetchone()
        end = int(row[0]) if row else 0
        if not self.wait_until(lambda shown: _searchable(shown) >= end, seconds):
            raise StopError(
                f"what was committed isn't searchable {seconds:.0f} s after the workload ended; "
                f"the daemon says: {self.status()}"
            )

    def command(self, *arguments: str) -> None:
        """Run another command on its configuration. Raises StopError if that fails."""
        command = [sys.executable, "-m", "cdc_daemon", *arguments, str(self.folder / CONFIGURATION)]
        name = " ".join(arguments)
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                command,
                env=self._launch.environment,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StopError(
                f"cdc-daemon {name} has not ended within {COMMAND_SECONDS:.0f} s"
            ) from error
        if done.returncode != 0:
            raise StopError(f"cdc-daemon {name} ended with {done.returncode}: {done.stderr}")


@contextmanager
def running_daemon(
    configuration: str,
    port: int,
    settings: dict[str, str],
    progress: Callable[[str], None],
    *,
    name: str = "cdc-daemon",
    arguments: tuple[str, ...] = (),
) -> Iterator[DaemonProcess]:
    """Run the daemon for as long as the context lasts; its web side answers when that begins.

    `configuration`: the text of its file, `settings`: the variables that it refers to,
    `arguments`: of `cdc-daemon run`. `name` is for people.
    """
    prepared = prepared_daemon(
        configuration, port, settings, progress, name=name, arguments=arguments
    )
    with prepared as daemon:
        daemon.start()
        yield daemon


@contextmanager
def prepared_daemon(
    configuration: str,
    port: int,
    settings: dict[str, str],
    progress: Callable[[str], None],
    *,
    name: str = "cdc-daemon",
    arguments: tuple[str, ...] = (),
) -> Iterator[DaemonProcess]:
    """The same, not started yet: its commands can be run before."""
    with server_folder("daemon", None, None, FOLDER_BYTES) as folder:
        file = folder / CONFIGURATION
        file.write_text(configuration)
        environment = {
            "CDC_DAEMON_LISTEN": f"{HOST}:{port}",
            "CDC_DAEMON_DATA": str(folder / "data"),
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            **settings,
        }
        launch = Launch(
            name=name,
            command=[sys.executable, "-m", "cdc_daemon", "run", *arguments, file],
            folder=folder,
            port=port,
            account=None,
            is_ready=lambda: read_page(f"http://{HOST}:{port}/livez") is not None,
            stop_signals=(signal.SIGTERM, signal.SIGTERM),
            environment=environment,
        )
        with DaemonProcess(launch, progress) as daemon:
            yield daemon


def _searchable(shown: dict[str, Any]) -> int:
    """The position that the status shows, as a number: PostgreSQL writes `HIGH/LOW`."""
    high, _, low = shown.get("position", {}).get("searchable", "0/0").partition("/")
    return (int(high, 16) << 32) + int(low, 16)
