"""Flat throughput: changes that wait in the slot, until the last of them is searchable.

The limit and the daemon take turns on the same changes: every round has a slot of its own, made
before the changes were. PostgreSQL runs without fsync, OpenSearch with its default durability.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import limit
import psycopg
import workload
from daemon_process import Daemon
from machine import busy_seconds, cpu_seconds, describe, family_cpu_seconds
from search import Search

from cdc_daemon import embedded

if TYPE_CHECKING:
    from workload import Expected

    from cdc_daemon.embedded import OpenSearchServer, PostgresServer

CHANGES: Final = 500_000
ROUNDS: Final = 3
HEAP: Final = "2g"
POLL_SECONDS: Final = 0.1
GIVE_UP_SECONDS: Final = 600.0


class Servers(NamedTuple):
    """Both sides, and a connection to each."""

    source: PostgresServer
    sink: OpenSearchServer
    database: psycopg.Connection
    search: Search


class Cpu(NamedTuple):
    """Processor seconds since the machine started."""

    daemon: float
    source: float
    sink: float
    all: float

    def since(self, before: Cpu) -> Cpu:
        """What was taken in between."""
        return Cpu(*(now - then for now, then in zip(self, before, strict=True)))


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the daemon took."""

    seconds: float
    rate: float
    cpu_us: float
    """The daemon's processor time for each change."""
    shares: str
    """Who took how much of the machine."""


@dataclass(frozen=True, slots=True)
class Result:
    """Medians of all rounds."""

    changes: int
    limits: list[limit.Limit]
    runs: list[Run]

    @property
    def limit_rate(self) -> float:
        """Changes a second."""
        return statistics.median(each.rate for each in self.limits)

    @property
    def rate(self) -> float:
        """The daemon's changes a second."""
        return statistics.median(each.rate for each in self.runs)

    @property
    def cpu_us(self) -> float:
        """The daemon's processor time for each change."""
        return statistics.median(each.cpu_us for each in self.runs)

    @property
    def unlimited_ratio(self) -> float:
        """Against the load alone from its first to its last document searchable."""
        whole = self.changes / statistics.median(each.bulk_alone_seconds for each in self.limits)
        return self.rate / whole

    def lines(self) -> list[tuple[str, str, str]]:
        """Name, figure and aim."""
        return [
            ("flat: limit (drain | bulk)", self._limits(), ""),
            ("flat: daemon", f"{self.rate:,.0f} changes/s", ""),
            ("flat: daemon / limit", f"{self.rate / self.limit_rate:.2f}", "at least 0.70"),
            ("flat: daemon / whole load by bare HTTP", f"{self.unlimited_ratio:.2f}", ""),
            ("flat: daemon's CPU", f"{self.cpu_us:.1f} us a change", "under 10"),
        ]

    def _limits(self) -> str:
        drain = statistics.median(each.drain for each in self.limits)
        bulk = statistics.median(each.bulk for each in self.limits)
        return f"{self.limit_rate:,.0f} changes/s ({drain:,.0f} | {bulk:,.0f})"


def run(servers: Servers, folder: Path, changes: int, rounds: int, profile: Path | None) -> Result:
    """Prepare everything, then measure round by round."""
    workload.create_table(servers.database)
    daemons = [_loaded(servers, folder, f"flat{number}") for number in range(rounds)]
    slots = ["capture", *(f"limit{number}" for number in range(rounds))]
    for slot in slots:
        servers.database.execute(
            "select pg_create_logical_replication_slot(%s, 'pgoutput')", [slot]
        )
    expected = workload.make_changes(servers.database, changes)
    servers.database.execute("checkpoint")
    end = workload.current_position(servers.database)
    print(f"{changes:,} changes wait in the slots", flush=True)
    feed = limit.Feed(servers.source.dsn, "capture", "cdc_flat0", end)
    batches = limit.capture(feed, folder / "documents.ndjson")
    _drop_slot(servers, "capture")
    file = str(folder / "documents.ndjson")
    warm_up(servers, file, batches)
    limits, runs = [], []
    for number, daemon in enumerate(daemons):
        feed = limit.Feed(servers.source.dsn, f"limit{number}", "cdc_flat0", end)
        limits.append(_limit(servers, feed, file, batches))
        _drop_slot(servers, feed.slot)
        runs.append(_daemon(servers, daemon, expected, changes, profile))
        _drop_slot(servers, f"cdc_{daemon.name}")
    return Result(changes, limits, runs)


def warm_up(servers: Servers, file: str, batches: list[tuple[int, int, int]]) -> None:
    """Load everything once, unmeasured: a Java that has just started is several times slower."""
    limit.create_index(servers.search, limit.projection_of(servers.source.dsn), "warm")
    limit.load_all(limit.Load(servers.sink.url, "warm", file, batches))
    servers.search.drop("warm")


def _loaded(servers: Servers, folder: Path, name: str) -> Daemon:
    """A daemon that has loaded the empty table, and was stopped."""
    daemon = Daemon(folder, name, servers.source.dsn, servers.sink.url)
    with daemon:
        daemon.wait_until_streaming()
        time.sleep(0.5)
    return daemon


def _limit(
    servers: Servers, feed: limit.Feed, file: str, batches: list[tuple[int, int, int]]
) -> limit.Limit:
    limit.create_index(servers.search, limit.projection_of(feed.dsn), "limit")
    measured = limit.measure(feed, limit.Load(servers.sink.url, "limit", file, batches))
    servers.search.drop("limit")
    print(
        f"limit: drain {measured.drain:,.0f}/s, bulk {measured.bulk:,.0f}/s while both run; "
        f"in all {measured.drain_alone_seconds:.1f} s and {measured.bulk_alone_seconds:.1f} s; "
        f"load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return measured


def _daemon(
    servers: Servers, daemon: Daemon, expected: Expected, changes: int, profile: Path | None
) -> Run:
    with daemon:
        began = daemon.wait_until_streaming()
        before, seen = _cpu(servers, daemon), time.time()
        profiler = _profiler(daemon, profile)
        _wait(servers.search, daemon, expected)
        ended = time.time()
        used = _cpu(servers, daemon).since(before)
        if profiler is not None:
            profiler.wait()
    servers.search.drop(f"{daemon.name}-*")
    cores = (ended - seen) * (os.cpu_count() or 1)
    others = used.all - used.daemon - used.source - used.sink
    measured = Run(
        seconds=ended - began,
        rate=changes / (ended - began),
        cpu_us=used.daemon / changes * 1e6,
        shares=f"daemon {used.daemon / cores:.0%}, PostgreSQL {used.source / cores:.0%}, "
        f"OpenSearch {used.sink / cores:.0%}, others {others / cores:.0%}",
    )
    print(
        f"daemon: {measured.rate:,.0f} changes/s ({measured.seconds:.1f} s), CPU "
        f"{measured.cpu_us:.1f} us a change; of the machine: {measured.shares}; "
        f"load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return measured


def _wait(search: Search, daemon: Daemon, expected: Expected) -> None:
    """Return when a search finds every document in its last state."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    updated = {"term": {"active": False}}
    while (
        search.count(daemon.name, updated) < expected.updated
        or search.count(daemon.name) < expected.documents
    ):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all changes arrived:\n{daemon.log()[-3000:]}")
        time.sleep(POLL_SECONDS if daemon.pid else 0)


def _cpu(servers: Servers, daemon: Daemon) -> Cpu:
    return Cpu(
        cpu_seconds(daemon.pid),
        family_cpu_seconds(servers.source.pid or 0),
        family_cpu_seconds(servers.sink.pid or 0),
        busy_seconds(),
    )


def _profiler(daemon: Daemon, profile: Path | None) -> subprocess.Popen[bytes] | None:
    """py-spy, if a profile is wanted: it must be on the PATH, it is no dependency."""
    if profile is None:
        return None
    options = ["--format", "raw", "--threads", "--rate", "200", "--duration", "20"]
    command = ["py-spy", "record", *options, "-o", str(profile), "--pid", str(daemon.pid)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _drop_slot(servers: Servers, slot: str) -> None:
    for _ in range(100):
        try:
            servers.database.execute("select pg_drop_replication_slot(%s)", [slot])
        except psycopg.errors.ObjectInUse:
            time.sleep(0.1)
        else:
            return


def main() -> None:
    """Start the servers and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profile", type=Path, help="py-spy's raw profile of the last round")
    options = parser.parse_args()
    print(describe())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cdc-bench-")))
        source = stack.enter_context(embedded.postgres(fsync=False))
        sink = stack.enter_context(embedded.opensearch(heap=HEAP))
        database = stack.enter_context(psycopg.connect(source.dsn, autocommit=True))
        servers = Servers(source, sink, database, Search(sink.url))
        result = run(servers, folder, options.changes, options.rounds, options.profile)
    for name, figure, aim in result.lines():
        print(f"{name:45} {figure:45} {aim}")


if __name__ == "__main__":
    main()
