"""The daemon as a real subprocess: start, watch from outside, stop, kill; its log is kept."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from cdc_daemon.embedded.guard import Guard
from tests.generators import forked
from tests.generators.rest import Refused, Rest

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

POLL_SECONDS = 0.02
PATIENCE = 3
"""What takes a second on a quiet machine takes longer where two workers run tests on two cores."""
LOG_TAIL_LINES = 60


def until(
    condition: Callable[[], Any], seconds: float, what: str, poll_seconds: float = POLL_SECONDS
) -> Any:
    """Ask again and again until `condition` gives something true; fail after `seconds`.

    They are those of a quiet machine: on a busy one it is waited for longer.
    """
    deadline = time.monotonic() + PATIENCE * seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE * seconds:g} s: {what}")
        time.sleep(poll_seconds)
    return answer


def lsn(text: str) -> int:
    """`16/B374D848` as a number."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


class RunningDaemon:
    """One configuration file, and the process that runs it (or not)."""

    def __init__(self, file: Path, port: int, dsn: str) -> None:
        self.file = file
        self.log = file.with_suffix(".log")
        self.spill = file.parent / "data" / "spill"
        self._dsn = dsn
        self.options: tuple[str, ...] = ()
        """Of its command line."""
        self.prepare: Callable[[], None] | None = None
        """Called in its process before each start that says nothing else."""
        self.url = f"http://127.0.0.1:{port}"
        self._web = Rest(self.url)
        self._process: forked.Forked | None = None
        self._guard: Guard | None = None
        """Ends it where a worker that runs tests is killed."""

    def start(self, prepare: Callable[[], None] | None = None) -> None:
        """Start it and return at once; `prepare` is called in its process before."""
        assert not self.is_running
        self._process = forked.daemon(self.file, self.log, prepare or self.prepare, self.options)
        self._dismiss_guard()
        self._guard = Guard(self._process.pid, signal.SIGKILL)

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def wait_until(self, state: str = "streaming", seconds: float = 60.0) -> None:
        """Wait until the daemon says that it is in `state`."""
        until(lambda: self._is(state), seconds, f"the daemon is {state}")

    def status(self) -> dict[str, Any]:
        """What `/api/v1/status` says; empty while nobody answers."""
        try:
            answer: dict[str, Any] = self._web.get("/api/v1/status")
        except (OSError, Refused):
            return {}
        return answer

    def health(self, probe: str) -> tuple[int, str]:
        """Status and reason that `livez` or `readyz` answers."""
        try:
            return 200, self._web.get(f"/{probe}")["reason"]
        except Refused as refused:
            return refused.status, str(refused)

    def metrics(self) -> dict[str, float]:
        """Samples by name with labels but the pipeline's: `cdc_state{state="streaming"}`."""
        found = {}
        for family in text_string_to_metric_families(self._web.text("GET", "/metrics")):
            for sample in family.samples:
                labels = {k: v for k, v in sample.labels.items() if k != "pipeline"}
                inside = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
                found[f"{sample.name}{{{inside}}}" if inside else sample.name] = sample.value
        return found

    def total(self, metric: str) -> float:
        """The sum of a metric over all its labels."""
        return sum(v for k, v in self.metrics().items() if k.partition("{")[0] == metric)

    def delay(self) -> float:
        """How far the daemon says that searches are behind the source, in seconds."""
        return self.metrics()['cdc_replication_delay_seconds{projection="",stage="searchable"}']

    def position(self, stage: str) -> int:
        """`received`, `durable`, `searchable` or `checkpoint`; 0 while it doesn't say."""
        return lsn(self.status().get("position", {}).get(stage, "0/0"))

    def catch_up(self, seconds: float = 60.0, poll_seconds: float = POLL_SECONDS) -> None:
        """Wait until everything committed until now is searchable."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            found = connection.execute("select pg_logical_emit_message(true, 'test', '')::text")
            row = found.fetchone()
        assert row is not None
        end = lsn(row[0])
        until(
            lambda: self._lives() and self.position("searchable") >= end,
            seconds,
            f"{row[0]} is searchable",
            poll_seconds,
        )

    def anonymous_bytes(self) -> int:
        """Memory that is the daemon's own: no files, no libraries."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no RssAnon in /proc")

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def break_one(self, _: Random) -> str:
        """It is killed, and started again."""
        self.kill()
        self.start()
        return "daemons killed"

    def terminate(self, seconds: float = 40.0) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        return self._process.wait(seconds)

    def close(self) -> None:
        """Make sure that it has ended."""
        if self.is_running:
            self.kill()
        self._dismiss_guard()

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None

    def events(self, name: str) -> list[dict[str, Any]]:
        """What it logged under `name`, oldest first."""
        return [event for event in self.logged() if event["event"] == name]

    def logged(self) -> list[dict[str, Any]]:
        """Its log, oldest first, without a line that is still being written."""
        lines = self.said().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line[0] == "{" and line[-1] == "\n"]

    def said(self) -> str:
        """The whole log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self) -> str:
        """The end of the log, for a test that failed."""
        return "\n".join(self.said().splitlines()[-LOG_TAIL_LINES:])

    def _is(self, state: str) -> bool:
        return self._lives() and self.status().get("state") == state

    def _lives(self) -> bool:
        if not self.is_running:
            raise AssertionError(f"the daemon has ended:\n{self.tail()}")
        return True
