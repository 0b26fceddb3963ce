"""Backfill: existing rows, until the last of them is searchable; and the stream's delay meanwhile.

The limit and the daemon take turns on the same rows: COPY to nowhere and ready documents by bare
HTTP, side by side, then a daemon that has never seen the table. At the end a daemon loads the table
beside a read model that it keeps up with already, and a prober watches that one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import arrival
import delay
import flat
import limit
import workload
from daemon_process import Daemon
from machine import Shares, describe
from servers import Servers, servers

from connectors.postgres.copytext import read_line
from connectors.postgres.rowplan import column_plans
from connectors.postgres.session import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Barrier

ROWS: Final = 2_000_000
ROUNDS: Final = 3
SECONDS: Final = 60.0
RATE: Final = 200
FILL_ROWS: Final = 100_000
"""In one transaction, when the table is made."""
STEP_ROWS: Final = 10_000
"""Between two looks at the clock while rows are discarded."""
LOADED_BESIDE: Final = "history"
_COPY: Final = f"copy {workload.TABLE} to stdout"


@dataclass(frozen=True, slots=True)
class Run:
    """What one backfill took."""

    seconds: float
    rate: float
    cpu_us: float
    """The daemon's processor time for each row."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The stream's delay while rows were read."""

    delay: delay.Result
    loading_seconds: float
    """How long rows were being read while it was measured, of how much."""

    def lines(self) -> list[tuple[str, str, str]]:
        """Name, figure and aim."""
        at = f"backfill: the stream's delay at {self.delay.rate}/s"
        p50, p99 = self.delay.histogram
        probes = f"{self.delay.after_commit}, {self.delay.probes} probes"
        return [
            (f"{at}: after COMMIT returned", probes, "p99 under 2000"),
            (f"{at}: the daemon's histogram", f"p50 {p50 * 1000:.1f} p99 {p99 * 1000:.1f} ms", ""),
            (f"{at}: rows were being read", f"{self.loading_seconds:.0f} s of it", "all of it"),
        ]


@dataclass(frozen=True, slots=True)
class Result:
    """Medians of all rounds, and the delay."""

    rows: int
    limits: list[limit.Limit]
    runs: list[Run]
    beside: Beside

    def lines(self) -> list[tuple[str, str, str]]:
        """Name, figure and aim."""
        pairs = list(zip(self.runs, self.limits, strict=True))
        of_limit = [run.rate / bound.rate for run, bound in pairs]
        of_whole = [run.rate * bound.bulk_seconds / self.rows for run, bound in pairs]
        rate, cpu_us = (
            statistics.median(each)
            for each in ([run.rate for run in self.runs], [run.cpu_us for run in self.runs])
        )
        return [
            ("backfill: limit, the slower of (COPY, bulk)", flat.shown(self.limits, "rows"), ""),
            ("backfill: daemon", f"{rate:,.0f} rows/s", ""),
            ("backfill: daemon / limit", flat.spread(of_limit), "at least 0.70"),
            ("backfill: daemon / whole load by bare HTTP", flat.spread(of_whole), ""),
            ("backfill: daemon's CPU", f"{cpu_us:.1f} us a row", ""),
            *self.beside.lines(),
        ]


def run(both: Servers, rows: int, rounds: int, seconds: float) -> Result:
    """Fill the table, measure round by round, and then the delay beside one more load."""
    workload.create_table(both.database)
    _fill(both, rows)
    print(f"{rows:,} rows are there", flush=True)
    load = limit.write(_lines(both.source.dsn), both.folder / "rows.ndjson", both.sink.url)
    flat.warm_up(both, load, limit.projection_of(both.source.dsn))
    limits, runs = [], []
    for number in range(rounds):
        limits.append(_limit(both, load))
        runs.append(_daemon(both, f"backfill{number}", rows))
    return Result(rows, limits, runs, _beside(both, seconds))


def _fill(both: Servers, rows: int) -> None:
    for first in range(1, rows + 1, FILL_ROWS):
        last = min(first + FILL_ROWS - 1, rows)
        both.database.execute(workload.INSERT, {"first": first, "last": last})
    both.database.execute("vacuum analyze item")
    both.database.execute("checkpoint")


def _lines(dsn: str) -> Iterator[bytes]:
    """Action and document of every row, all of one version."""
    projection = limit.projection_of(dsn)
    plans = column_plans(projection.relation.columns)
    with connect(dsn, name="benchmark") as connection, connection.cursor().copy(_COPY) as copy:
        for line in copy:
            content = projection.load(read_line(bytes(line), plans))
            if content is not None:
                document_id, body = content
                yield limit.ACTION % (document_id, 1, body)


def _limit(both: Servers, load: limit.Load) -> limit.Limit:
    limit.create_index(both.search, limit.projection_of(both.source.dsn), load.index)
    shares = Shares(PostgreSQL=both.source.pid or 0, OpenSearch=both.sink.pid or 0)
    measured = limit.beside(load, _discard, both.source.dsn)
    print(
        f"limit: COPY {measured.drain:,.0f}/s, bulk {measured.bulk:,.0f}/s while both run; in all "
        f"{measured.drain_seconds:.1f} s and {measured.bulk_seconds:.1f} s; machine: {shares}",
        flush=True,
    )
    both.search.drop(load.index)
    return measured


def _discard(dsn: str, barrier: Barrier, answers: Any) -> None:
    """Read all rows by COPY, and drop them."""
    with connect(dsn, name="benchmark") as connection:
        barrier.wait()
        steps = [limit.Step(time.monotonic(), 0)]
        done = 0
        with connection.cursor().copy(_COPY) as copy:
            for done, _ in enumerate(copy, 1):
                if done % STEP_ROWS == 0:
                    steps.append(limit.Step(time.monotonic(), done))
        steps.append(limit.Step(time.monotonic(), done))
    answers.put(("drain", steps))


def _daemon(both: Servers, name: str, rows: int) -> Run:
    with Daemon(both.folder, name, both.source.dsn, both.sink.url) as daemon:
        began = daemon.wait_until_loading()
        shares = Shares(
            daemon=daemon.pid, PostgreSQL=both.source.pid or 0, OpenSearch=both.sink.pid or 0
        )
        arrival.wait(both.search, daemon, workload.Expected(rows, 0))
        seconds = time.time() - began
        measured = Run(seconds, rows / seconds, shares.cpu_seconds("daemon") / rows * 1e6)
        print(
            f"daemon: {measured.rate:,.0f} rows/s ({seconds:.1f} s), CPU {measured.cpu_us:.1f} us "
            f"a row; machine: {shares}",
            flush=True,
        )
    both.search.drop(f"{name}-*")
    flat.drop_slot(both, f"cdc_{name}")
    return measured


def _beside(both: Servers, seconds: float) -> Beside:
    """The table gets another name, and a small one takes its place: that is what is probed."""
    both.database.execute(f"alter table item rename to {LOADED_BESIDE}")
    workload.create_table(both.database)
    both.database.execute(workload.INSERT, {"first": 1, "last": delay.ROWS})
    daemon = Daemon(both.folder, "delay", both.source.dsn, both.sink.url, freshness=0)
    with daemon:
        daemon.wait_until_streaming()
        delay.at_rate(both, daemon, RATE, delay.WARM_UP_SECONDS)
    daemon.add(LOADED_BESIDE, f"public.{LOADED_BESIDE}")
    with daemon:
        began = daemon.wait_until_loading()
        result = delay.at_rate(both, daemon, RATE, seconds)
        delay.show(result)
        until = daemon.said("loaded") or time.time()
    return Beside(result, min(seconds, until - began))


def main() -> None:
    """Start the servers and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the delay")
    options = parser.parse_args()
    print(describe())
    with servers() as both:
        print(both.versions, flush=True)
        result = run(both, options.rows, options.rounds, options.seconds)
    for name, figure, aim in result.lines():
        print(f"{name:55} {figure:50} {aim}")


if __name__ == "__main__":
    main()
