"""The daemon as users run it: a process of its own, with a configuration file."""

from __future__ import annotations

import json
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
    from pathlib import Path

POLL_SECONDS: Final = 0.1
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0


class Daemon:
    """One pipeline from the benchmark's table to the read model of the same name."""

    def __init__(self, folder: Path, name: str, dsn: str, url: str, **projection: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self._file = folder / f"{name}.yaml"
        self._log = folder / f"{name}.log"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        configuration = {
            "name": name,
            "source": {"type": "postgres", "dsn": dsn},
            "sink": {"type": "opensearch", "hosts": [url]},
            "projections": {name: {"from": TABLE, "fields": "*", **projection}},
            "state": {"path": str(folder / f"{name}-data")},
            "web": {"listen": f"127.0.0.1:{self._port}"},
            "log": {"format": "json"},
        }
        self._file.write_text(json.dumps(configuration, indent=1))  # JSON is YAML

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

    def start(self) -> None:
        """Start it; a log of its own for each start."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cdc_daemon", "run", str(self._file)],
                stdout=log,
                stderr=log,
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

    def wait_until_streaming(self) -> float:
        """Return the Unix time at which the stream began, once existing rows are loaded too."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for line in self._log.read_text().splitlines():
                if '"event": "streaming"' in line and self.status()["state"] == "streaming":
                    said = json.loads(line)["timestamp"].replace("Z", "+00:00")
                    return datetime.fromisoformat(said).timestamp()
            time.sleep(0.005 if self.pid else 0)
        raise RuntimeError(f"the daemon does not stream:\n{self._log.read_text()[-3000:]}")

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
