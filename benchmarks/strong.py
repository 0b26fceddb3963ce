"""Strong: how long a COMMIT takes that returns when a search finds what it wrote.

One client commits a row, one time as usual (`local`) and one time so that it waits
(`remote_apply`), and then searches for it. A workload of 200 transactions a second, none of which
waits, runs beside it.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import delay
import psycopg
import workload
from daemon_process import Daemon
from machine import describe
from quantiles import Quantiles, quantiles
from search import Search
from servers import Servers, servers

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE: Final = 200
SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.02
NAME: Final = "strong"
LEVELS: Final = ("local", "remote_apply")
STRONG: Final = LEVELS[1]
_NOBODY_WAITS: Final = ("alter system set synchronous_commit = 'local'", "select pg_reload_conf()")


class Committed(NamedTuple):
    """One commit of the client."""

    level: str
    took: float
    """From the sending of COMMIT until it returned, seconds."""
    found: bool
    """Whether a search that was sent then found its row."""


def run(both: Servers, seconds: float) -> tuple[list[Committed], Quantiles]:
    """What the client saw, and the floor."""
    for statement in _NOBODY_WAITS:
        both.database.execute(statement)
    workload.create_table(both.database)
    both.database.execute(workload.INSERT, {"first": 1, "last": delay.ROWS})
    floor = delay.lowest(both)
    print(f"floor, one document by bulk with refresh=true: {floor}", flush=True)
    daemon = Daemon(both.folder, NAME, both.source.dsn, both.sink.url)
    daemon.configure(consistency={"strong": {}})
    with daemon:
        daemon.wait_until_streaming()
        daemon.call("strong", "enable", "--yes")
        beside(both, delay.WARM_UP_SECONDS)
        commits = beside(both, seconds)
        daemon.call("strong", "disable")
    return commits, floor


def beside(both: Servers, seconds: float) -> list[Committed]:
    """Commit while others do."""
    context = multiprocessing.get_context("spawn")
    worked: Any = context.SimpleQueue()
    done: Any = context.SimpleQueue()
    dsn = both.source.dsn
    worker = context.Process(target=delay.work, args=(delay.ITEMS, dsn, seconds, RATE, worked))
    client = context.Process(target=_client, args=(dsn, both.sink.url, seconds, done))
    worker.start()
    client.start()
    commits: list[Committed] = done.get()
    worked.get()
    worker.join()
    client.join()
    return commits


def _client(dsn: str, url: str, seconds: float, answer: Any) -> None:
    search = Search(url)
    commits: list[Committed] = []
    until = time.monotonic() + seconds
    with psycopg.connect(dsn) as connection:
        numbers = itertools.count(delay.unused_number())
        for number, level in zip(numbers, itertools.cycle(LEVELS), strict=False):
            if time.monotonic() > until:
                break
            connection.execute(f"set local synchronous_commit = {level}")
            query = delay.ITEMS.probe(connection, number)
            began = time.monotonic()
            connection.commit()
            took = time.monotonic() - began
            path = f"/{NAME}/_search?size=0&filter_path=hits.total.value"
            said = search.send("POST", path, query, {"Content-Type": "application/json"})
            commits.append(Committed(level, took, b'"value":1' in said))
            time.sleep(PAUSE_SECONDS)
    answer.put(commits)


def lines(commits: Sequence[Committed], floor: Quantiles) -> list[tuple[str, str, str]]:
    """Name, figure and aim."""
    shown = [("strong: floor, a bulk of one with refresh", str(floor), "")]
    for level in LEVELS:
        took = quantiles([one.took for one in commits if one.level == level])
        ratios = f"p50 and p99 are {took.p50 / floor.p50:.1f} and {took.p99 / floor.p99:.1f} times"
        shown.append((f"strong: COMMIT, {level}", f"{took}; {ratios} the floor's", ""))
    missed = sum(not one.found for one in commits if one.level == STRONG)
    shown.append((f"strong: searches that missed a commit, {STRONG}", str(missed), "0"))
    return shown


def main() -> None:
    """Start the servers and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    print(describe(), f"load average {os.getloadavg()[0]:.1f}", sep="; ")
    with servers() as both:
        commits, floor = run(both, options.seconds)
    for name, figure, aim in lines(commits, floor):
        print(f"{name:45} {figure:90} {aim}")


if __name__ == "__main__":
    main()
