"""Memory: the daemon's anonymous memory through a huge transaction and through a long backlog.

Sampled from outside each 50 ms (RssAnon), with the kernel's own peak beside it (VmHWM, which counts
mapped files too). All settings are the defaults.
"""

from __future__ import annotations

import argparse
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import arrival
import workload
from daemon_process import Daemon
from machine import Memory, describe, memory
from servers import Servers, servers

if TYPE_CHECKING:
    from workload import Expected

TRANSACTION_ROWS: Final = 1_000_000
BACKLOG_CHANGES: Final = 2_000_000
SAMPLE_SECONDS: Final = 0.05
POLL_SECONDS: Final = 0.5
MEGABYTE: Final = 1_000_000
SETTLE_SECONDS: Final = 2.0
FEW: Final = "id % 20 = 0"
"""A condition that leaves so few documents that OpenSearch keeps up with the stream."""
FEWER: Final = 20


@dataclass(frozen=True, slots=True)
class Result:
    """Bytes."""

    name: str
    idle: int
    peak: int
    peak_with_files: int
    seconds: float

    def line(self) -> tuple[str, str, str]:
        """Name, figure and aim."""
        peak, files, idle = (
            f"{size / MEGABYTE:.0f} MB" for size in (self.peak, self.peak_with_files, self.idle)
        )
        figure = f"{peak} anonymous, {files} with files (idle {idle})"
        return (f"memory: {self.name}", figure, "under 150 MB")


class Sampler(threading.Thread):
    """Watches one process for as long as the context lasts."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self.peak = Memory(0, 0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Sample until ended."""
        while not self._ended.wait(SAMPLE_SECONDS):
            now = memory(self._pid)
            self.peak = Memory(
                max(now.anonymous, self.peak.anonymous), max(now.peak, self.peak.peak)
            )


def run(both: Servers, transaction_rows: int, backlog_changes: int) -> list[Result]:
    """Measure the transaction, then the backlog twice: sink behind, and sink keeping up."""
    workload.create_table(both.database)
    results = [_transaction(both, transaction_rows)]
    _show(results[-1])
    both.database.execute("truncate item")
    backlogs = [
        _loaded(both, "backlog"),
        _loaded(both, "backlogfew", where=FEW),
    ]
    expected = workload.make_changes(both.database, backlog_changes)
    few = workload.Expected(expected.documents // FEWER, expected.updated // FEWER)
    for name, daemon, wanted in (
        (f"backlog of {backlog_changes:,} changes", backlogs[0], expected),
        (f"the same, a {FEWER}th of it documents", backlogs[1], few),
    ):
        results.append(_backlog(both, name, daemon, wanted))
        _show(results[-1])
    return results


def _transaction(both: Servers, rows: int) -> Result:
    with Daemon(both.folder, "transaction", both.source.dsn, both.sink.url) as daemon:
        daemon.wait_until_streaming()
        time.sleep(SETTLE_SECONDS)
        idle = memory(daemon.pid).anonymous
        began = time.monotonic()
        with Sampler(daemon.pid) as sampler:
            both.database.execute(workload.INSERT, {"first": 1, "last": rows})
            arrival.wait(both.search, daemon, workload.Expected(rows, 0), POLL_SECONDS)
        seconds = time.monotonic() - began
    _forget(both, daemon)
    peak = sampler.peak
    return Result(f"one transaction of {rows:,} rows", idle, peak.anonymous, peak.peak, seconds)


def _loaded(both: Servers, name: str, **projection: str) -> Daemon:
    daemon = Daemon(both.folder, name, both.source.dsn, both.sink.url, **projection)
    with daemon:
        daemon.wait_until_streaming()
        time.sleep(SETTLE_SECONDS)
    return daemon


def _backlog(both: Servers, name: str, daemon: Daemon, expected: Expected) -> Result:
    began = time.monotonic()
    with daemon, Sampler(daemon.pid) as sampler:
        daemon.wait_until_streaming()
        idle = memory(daemon.pid).anonymous
        arrival.wait(both.search, daemon, expected, POLL_SECONDS)
        seconds = time.monotonic() - began
    _forget(both, daemon)
    return Result(name, idle, sampler.peak.anonymous, sampler.peak.peak, seconds)


def _forget(both: Servers, daemon: Daemon) -> None:
    """Free the log and the disk for what comes next."""
    both.search.drop(f"{daemon.name}-*")
    both.database.execute("select pg_drop_replication_slot(%s)", [f"cdc_{daemon.name}"])


def _show(result: Result) -> None:
    name, figure, _ = result.line()
    print(f"{name}: {figure}, in {result.seconds:.0f} s", flush=True)


def main() -> None:
    """Start the servers and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transaction-rows", type=int, default=TRANSACTION_ROWS)
    parser.add_argument("--rows", type=int, default=BACKLOG_CHANGES, help="changes of the backlog")
    options = parser.parse_args()
    print(describe())
    with servers() as both:
        print(both.versions, flush=True)
        run(both, options.transaction_rows, options.rows)


if __name__ == "__main__":
    main()
