"""The daemon as users run it: a process of its own, with a configuration file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from workload import TABLE

from cdc_daemon.embedded.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POLL_SECONDS: Final = 0.1
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0


class Daemon:
    """One pipeline from the benchmark's table to the read model of its name."""

    def __init__(self, folder: Path, name: str, dsn: str, url: str, **projection: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self._file = folder / f"{name}.yaml"
        self._log = folder / f"{name}.log"
        self._port = free_port()
        self._options: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration: dict[str, Any] = {
            "name": name,
            "source": {"type": "postgres", "dsn": dsn},
            "sink": {"type": "opensearch", "hosts": [url]},
            "projections": {name: {"from": TABLE, "fields": "*", **projection}},
            "state": {"path": str(folder / f"{name}-data")},
            "web": {"listen": f"127.0.0.1:{self._port}"},
            "log": {"format": "json"},
        }
        self._write()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process. Raises RuntimeError, with its log, if it has ended."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the daemon has ended:\n{self._log.read_text()[-3000:]}")
        return self._process.pid

    def add(self, name: str, table: str, **projection: Any) -> None:
        """Another read model, of all columns of another table, from the next start on."""
        made = {"from": table, "fields": "*", **projection}
        self._configuration["projections"][name] = made
        self._write()

    def configure(self, **sections: Any) -> None:
        """Change sections of the configuration, or leave out (None), from the next start on."""
        changed = {**self._configuration, **sections}
        self._configuration = {name: one for name, one in changed.items() if one is not None}
        self._write()

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self._port}"

    def remap(self, **projection: Any) -> None:
        """Change its read model, from the next start on."""
        self._configuration["projections"][self.name].update(projection)
        self._write()

    def _write(self) -> None:
        self._file.write_text(json.dumps(self._configuration, indent=1))  # JSON is YAML

    def share(self) -> None:
        """Be one of several, from the next start on."""
        self._options = ["--role", "projector"]

    def start(self) -> None:
        """Start it; a log of its own for each start."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cdc_daemon", "run", *self._options, str(self._file)],
                stdout=log,
                stderr=log,
            )

    def call(self, *command: str) -> None:
        """Run a command of `cdc-daemon` with its configuration. Raises CalledProcessError."""
        subprocess.run(
            [sys.executable, "-m", "cdc_daemon", *command, str(self._file)],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal. Raises RuntimeError if it has ended."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL: it says nothing to anybody."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._process = None

    def wait_until_streaming(self) -> float:
        """Return the Unix time at which the stream began, once existing rows are loaded too."""
        return self._wait_until_said("streaming", lambda: self.state == "streaming")

    def wait_until_loading(self) -> float:
        """Return the Unix time at which it began with existing rows."""
        return self._wait_until_said("loading", lambda: True)

    @property
    def state(self) -> str:
        """What it says it is doing."""
        return str(self.status()["state"])

    def _wait_until_said(self, event: str, condition: Callable[[], bool]) -> float:
        """When it logged `event`, once the condition holds as well."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            said = self.said(event)
            if said is not None and condition():
                return said
            time.sleep(0.005 if self.pid else 0)
        raise RuntimeError(f"the daemon is not {event}:\n{self.log()[-3000:]}")

    def said(self, event: str) -> float | None:
        """The Unix time at which it logged `event` first; None where it hasn't."""
        return next(iter(self.times(event)), None)

    def times(self, event: str) -> list[float]:
        """The Unix times at which it logged `event`."""
        whole = self.log().rpartition("\n")[0].splitlines()  # the last may still be being written
        lines = [line for line in whole if f'"event": "{event}"' in line]
        stamps = (json.loads(line)["timestamp"].replace("Z", "+00:00") for line in lines)
        return [datetime.fromisoformat(stamp).timestamp() for stamp in stamps]

    def status(self) -> dict[str, Any]:
        """What /api/v1/status says."""
        shown: dict[str, Any] = json.loads(self._get("/api/v1/status"))
        return shown

    def metrics(self) -> dict[str, float]:
        """What /metrics says: name with labels to value."""
        lines = self._get("/metrics").decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def log(self) -> str:
        """What it has logged since its last start."""
        return self._log.read_text()

    def _get(self, path: str) -> bytes:
        address = f"http://127.0.0.1:{self._port}{path}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            body: bytes = answer.read()
        return body
