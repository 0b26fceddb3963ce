"""Flat throughput: changes that wait in the slot, until the last of them is searchable.

The limit and the daemon take turns on the same changes: every round has a slot of its own, made
before the changes were. PostgreSQL runs without fsync, OpenSearch with its default durability.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import arrival
import limit
import psycopg
import workload
from daemon_process import Daemon
from machine import Shares, describe
from servers import Servers, servers

if TYPE_CHECKING:
    from workload import Expected

    from cdc_daemon.projection.flat import FlatProjection
    from cdc_daemon.projection.joined.plan import Plan

CHANGES: Final = 500_000
ROUNDS: Final = 3
SETTLE_SECONDS: Final = 0.5
"""After its start, for the first checkpoint."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the daemon took."""

    seconds: float
    rate: float
    cpu_us: float
    """The daemon's processor time for each change."""


@dataclass(frozen=True, slots=True)
class Result:
    """Medians of all rounds."""

    changes: int
    limits: list[limit.Limit]
    runs: list[Run]

    @property
    def rate(self) -> float:
        """The daemon's changes a second."""
        return statistics.median(each.rate for each in self.runs)

    @property
    def cpu_us(self) -> float:
        """The daemon's processor time for each change."""
        return statistics.median(each.cpu_us for each in self.runs)

    def lines(self) -> list[tuple[str, str, str]]:
        """Name, figure and aim."""
        pairs = list(zip(self.runs, self.limits, strict=True))
        of_limit = [run.rate / limit.rate for run, limit in pairs]
        of_whole = [run.rate * limit.bulk_seconds / self.changes for run, limit in pairs]
        return [
            ("flat: limit, the slower of (drain, bulk)", shown(self.limits, "changes"), ""),
            ("flat: daemon", f"{self.rate:,.0f} changes/s", ""),
            ("flat: daemon / limit", spread(of_limit), "at least 0.70"),
            ("flat: daemon / whole load by bare HTTP", spread(of_whole), ""),
            ("flat: daemon's CPU", f"{self.cpu_us:.1f} us a change", "under 10"),
        ]


def shown(limits: list[limit.Limit], what: str) -> str:
    """The median of the rounds: the slower of the two, and each."""
    rate, drain, bulk = (
        statistics.median(each)
        for each in zip(*((one.rate, one.drain, one.bulk) for one in limits), strict=True)
    )
    return f"{rate:,.0f} {what}/s ({drain:,.0f}, {bulk:,.0f})"


def spread(ratios: list[float]) -> str:
    """The median of the rounds: each compares two runs that followed one another."""
    return f"{statistics.median(ratios):.2f} (rounds: {min(ratios):.2f} to {max(ratios):.2f})"


def run(both: Servers, changes: int, rounds: int, profile: Path | None = None) -> Result:
    """Prepare everything, then measure round by round."""
    workload.create_table(both.database)
    daemons = [_loaded(both, f"flat{number}") for number in range(rounds)]
    for slot in ("capture", *(f"limit{number}" for number in range(rounds))):
        both.database.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
    expected = workload.make_changes(both.database, changes)
    both.database.execute("checkpoint")
    end = workload.current_position(both.database)
    print(f"{changes:,} changes wait in the slots", flush=True)
    feed = limit.Feed(both.source.dsn, "capture", f"cdc_{daemons[0].name}", end)
    load = limit.capture(feed, both.folder / "documents.ndjson", both.sink.url)
    drop_slot(both, feed.slot)
    warm_up(both, load, limit.projection_of(both.source.dsn))
    limits, runs = [], []
    for number, daemon in enumerate(daemons):
        limits.append(_limit(both, replace(feed, slot=f"limit{number}"), load))
        wanted = profile if number == rounds - 1 else None
        runs.append(_daemon(both, daemon, expected, changes, wanted))
    return Result(changes, limits, runs)


def warm_up(both: Servers, load: limit.Load, projection: FlatProjection | Plan) -> None:
    """Load everything once, unmeasured: a Java that has just started is several times slower."""
    limit.create_index(both.search, projection, load.index)
    limit.load_all(load)
    both.search.drop(load.index)


def _loaded(both: Servers, name: str) -> Daemon:
    """A daemon that has loaded the empty table, and was stopped."""
    daemon = Daemon(both.folder, name, both.source.dsn, both.sink.url)
    with daemon:
        daemon.wait_until_streaming()
        time.sleep(SETTLE_SECONDS)
    return daemon


def _limit(both: Servers, feed: limit.Feed, load: limit.Load) -> limit.Limit:
    limit.create_index(both.search, limit.projection_of(feed.dsn), load.index)
    shares = Shares(PostgreSQL=both.source.pid or 0, OpenSearch=both.sink.pid or 0)
    measured = limit.measure(feed, load)
    print(
        f"limit: drain {measured.drain:,.0f}/s, bulk {measured.bulk:,.0f}/s while both run; in all "
        f"{measured.drain_seconds:.1f} s and {measured.bulk_seconds:.1f} s; machine: {shares}",
        flush=True,
    )
    both.search.drop(load.index)
    drop_slot(both, feed.slot)
    return measured


def _daemon(
    both: Servers, daemon: Daemon, expected: Expected, changes: int, profile: Path | None
) -> Run:
    with daemon:
        began = daemon.wait_until_streaming()
        shares = Shares(
            daemon=daemon.pid, PostgreSQL=both.source.pid or 0, OpenSearch=both.sink.pid or 0
        )
        profiler = _profiler(daemon, profile)
        arrival.wait(both.search, daemon, expected)
        seconds = time.time() - began
        run = Run(seconds, changes / seconds, shares.cpu_seconds("daemon") / changes * 1e6)
        print(
            f"daemon: {run.rate:,.0f} changes/s ({run.seconds:.1f} s), CPU {run.cpu_us:.1f} us a "
            f"change; machine: {shares}",
            flush=True,
        )
        if profiler is not None:
            profiler.wait()
    both.search.drop(f"{daemon.name}-*")
    drop_slot(both, f"cdc_{daemon.name}")
    return run


def _profiler(daemon: Daemon, profile: Path | None) -> subprocess.Popen[bytes] | None:
    """py-spy, if a profile is wanted: it must be on the PATH, it is no dependency."""
    if profile is None:
        return None
    options = ["--format", "raw", "--threads", "--rate", "200", "--duration", "20"]
    command = ["py-spy", "record", *options, "-o", str(profile), "--pid", str(daemon.pid)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def drop_slot(both: Servers, slot: str) -> None:
    """Once its daemon has let go of it."""
    for _ in range(100):
        try:
            both.database.execute("select pg_drop_replication_slot(%s)", [slot])
        except psycopg.errors.ObjectInUse:
            time.sleep(0.1)
        else:
            return


def main() -> None:
    """Start the servers and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--profile", type=Path, help="py-spy's raw profile of the last round, which slows it"
    )
    options = parser.parse_args()
    print(describe())
    with servers() as both:
        print(both.versions, flush=True)
        result = run(both, options.changes, options.rounds, options.profile)
    for name, figure, aim in result.lines():
        print(f"{name:45} {figure:45} {aim}")


if __name__ == "__main__":
    main()
