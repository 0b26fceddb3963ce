"""Delay metric against truth: a prober commits rows, searches until found, and asks the daemon.

Run it on an idle machine: how exact the delay is is the question, and a busy one makes searches,
daemon and prober late. Each case prints by how much the daemon's figure differs from the prober's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg
import workload
from daemon_process import Daemon
from delay import ROWS, change_item, probe_item
from machine import describe
from quantiles import quantiles
from search import Search
from servers import Servers, servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RATE: Final = 200
PROBES: Final = 200
STALL_SECONDS: Final = 10.0
LARGE_ROWS: Final = 500_000
LOOK_SECONDS: Final = 0.05
SEARCH_PAUSE_SECONDS: Final = 0.001
WARM_UP_SECONDS: Final = 60.0
TOLERANCE: Final = "20 ms + 10 %"
FIRST_OF_TRAFFIC: Final = 10_000_000
FIRST_LARGE: Final = 1_000_000
SECOND_LARGE: Final = 2_000_000
"""Ids that nothing else uses."""


class Look(NamedTuple):
    """One moment: what was true, and what the daemon said."""

    truth: float
    said: float

    @property
    def is_within(self) -> bool:
        """The aim."""
        return abs(self.said - self.truth) <= 0.02 + 0.1 * self.truth


class Prober:
    """Commits one row after the other, and finds each."""

    def __init__(self, both: Servers, daemon: Daemon) -> None:
        self._daemon = daemon
        self._index = daemon.name
        self._search = Search(both.sink.url)
        self._connection = psycopg.connect(both.source.dsn, autocommit=True)
        self._last = 0
        self._query = b""

    def commit(self) -> float:
        """Commit a row; when COMMIT had returned."""
        self._last += 1
        self._query = probe_item(self._connection, self._last)
        return time.monotonic()

    def finds(self) -> bool:
        """Whether a search finds the row that was committed last."""
        path = f"/{self._index}/_search?size=0&request_cache=false&filter_path=hits.total.value"
        answer = self._search.send("POST", path, self._query, {"Content-Type": "application/json"})
        return b'"value":0' not in answer

    def said(self) -> float:
        """What the daemon says just now."""
        return float(self._daemon.status()["delay_seconds"]["searchable"] or 0.0)

    def largest(self) -> float:
        """The largest that the daemon has said in the last minute."""
        return float(self._daemon.status()["delay_max_60s_seconds"])

    def probe(self) -> Look:
        """Commit a row and search until it is found; what the daemon says then."""
        committed = self.commit()
        while not self.finds():
            time.sleep(SEARCH_PAUSE_SECONDS)
        return Look(time.monotonic() - committed, self.said())

    def watch(self, until: Callable[[], bool]) -> Iterator[Look]:
        """Commit a row that can't be found for now, and look at its age until `until`."""
        committed = self.commit()
        while not until():
            time.sleep(LOOK_SECONDS)
            yield Look(time.monotonic() - committed, self.said())


def report(case: str, looks: list[Look]) -> None:
    """Print how far the daemon was off."""
    off = quantiles([abs(look.said - look.truth) for look in looks])
    least = min(look.said - look.truth for look in looks) * 1000
    within = sum(look.is_within for look in looks)
    truth, said = (
        quantiles(values)
        for values in ([look.truth for look in looks], [look.said for look in looks])
    )
    print(
        f"{case:32} truth {truth}; said {said}; off by {off}; least {least:.1f} ms;"
        f" {within} of {len(looks)} within {TOLERANCE}",
        flush=True,
    )


@contextlib.contextmanager
def traffic(both: Servers) -> Iterator[None]:
    """RATE single-row transactions a second for as long as the context lasts."""
    ended = threading.Event()

    def work() -> None:
        began = time.monotonic()
        with psycopg.connect(both.source.dsn, autocommit=True) as connection:
            number = 0
            while not ended.wait(max(0.0, began + number / RATE - time.monotonic())):
                number += 1
                change_item(connection, FIRST_OF_TRAFFIC + number)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        ended.set()
        worker.join()


def steadily(both: Servers, prober: Prober) -> None:
    """Beside RATE transactions a second."""
    with traffic(both):
        time.sleep(WARM_UP_SECONDS)
        report(f"steady, {RATE}/s", [prober.probe() for _ in range(PROBES)])


def idly(prober: Prober) -> None:
    """Nobody else writes."""
    looks = []
    for _ in range(PROBES // 4):
        time.sleep(0.3)
        looks.append(prober.probe())
    report("idle", looks)


def during_a_stall(pid: int, case: str, prober: Prober) -> None:
    """Of a process that doesn't go on for a while."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + STALL_SECONDS
    try:
        looks = list(prober.watch(lambda: time.monotonic() > until))
    finally:
        os.kill(pid, signal.SIGCONT)
    report(case, looks[1:])


def insert_many(both: Servers, first: int) -> None:
    """One large transaction."""
    both.database.execute(workload.INSERT, {"first": first, "last": first + LARGE_ROWS - 1})


def behind_a_large_transaction(both: Servers, prober: Prober) -> None:
    """A row that is committed behind it waits until it is decoded, projected and written."""
    insert_many(both, FIRST_LARGE)
    looks = list(prober.watch(prober.finds))
    report("behind a large transaction", looks[:-1])  # at the last look it may have been found
    print(f"{'':32} longest {looks[-1].truth:.2f} s, by the daemon {prober.largest():.2f} s")


def catching_up(both: Servers, daemon: Daemon, prober: Prober) -> None:
    """After the daemon was frozen, with much committed meanwhile."""
    while prober.largest() > 1:  # for a minute the case before is remembered
        time.sleep(1)
    os.kill(daemon.pid, signal.SIGSTOP)
    committed = prober.commit()
    insert_many(both, SECOND_LARGE)
    time.sleep(STALL_SECONDS)
    os.kill(daemon.pid, signal.SIGCONT)
    while not prober.finds():
        time.sleep(SEARCH_PAUSE_SECONDS)
    truth = time.monotonic() - committed
    report("catching up: the maximum", [Look(truth, prober.largest())])
    while prober.said() > 1:
        time.sleep(LOOK_SECONDS)


def main() -> None:
    """Start the servers and print the result."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(describe())
    with servers() as both:
        workload.create_table(both.database)
        both.database.execute(workload.INSERT, {"first": 1, "last": ROWS})
        with Daemon(both.folder, "truth", both.source.dsn, both.sink.url, freshness=0) as daemon:
            daemon.wait_until_streaming()
            prober = Prober(both, daemon)
            steadily(both, prober)
            idly(prober)
            during_a_stall(both.sink.pid or 0, "sink frozen", prober)
            idly(prober)
            behind_a_large_transaction(both, prober)
            catching_up(both, daemon, prober)


if __name__ == "__main__":
    main()
