"""Delay: an outside prober commits a row, and searches until it finds it.

A workload runs beside it, in a process of its own and open-loop: transactions begin by the clock,
whether those before have ended or not. The daemon runs with `freshness: 0`.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg
import workload
from daemon_process import Daemon
from limit import create_index, projection_of
from machine import Shares, describe
from quantiles import Quantiles, histogram_quantile, quantiles
from search import NDJSON, Search
from servers import Servers, servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RATES: Final = (200, 1000)
SECONDS: Final = 60.0
ROWS: Final = 20_000
CONNECTIONS: Final = 8
SEARCH_PAUSE_SECONDS: Final = 0.001
"""Between two searches of the prober: without it searching would take a core of the two."""
LONGEST_REST_SECONDS: Final = 0.1
"""Between two probes a random time up to this, so that they meet every phase of the daemon."""
LOST_SECONDS: Final = 30.0
WARM_UP_SECONDS: Final = 90.0
"""Java compiles what it has run often: until then a refresh takes several times as long."""
FLOOR_REQUESTS: Final = 300
_HISTOGRAM: Final = "cdc_end_to_end_latency_seconds_bucket"
_ONE_ROW: Final = workload.ROWS.replace("%(first)s::bigint, %(last)s::bigint", "1, 1").replace(
    "select i,", "select %(id)s::bigint,"
)
_INSERT_ONE: Final = f"insert into item {_ONE_ROW}"
_UPDATE_ONE: Final = "update item set quantity = %(quantity)s where id = %(id)s"


class Traffic(NamedTuple):
    """What is committed meanwhile; functions of a module, for other processes to call.

    Each gets a number that no other call has got, of this run or an earlier one.
    """

    name: str
    change: Callable[[psycopg.Connection, int], object]
    """Makes one transaction of the workload."""
    probe: Callable[[psycopg.Connection, int], bytes]
    """Makes the change of one probe, and returns the query that finds it."""
    aims: Mapping[int, str]
    """For a rate."""


class Probe(NamedTuple):
    """One row's way, monotonic seconds."""

    before_commit: float
    committed: float
    found: float


class Done(NamedTuple):
    """What the workload did."""

    transactions: int
    seconds: float
    late: Quantiles
    """How much later than planned transactions began."""


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured at one rate."""

    traffic: Traffic
    rate: int
    done: Done
    after_commit: Quantiles
    """From the return of COMMIT until found."""
    from_commit: Quantiles
    """From just before COMMIT."""
    probes: int
    said: list[float]
    """What the daemon said of its delay, each second."""
    histogram: tuple[float, float]
    """The daemon's own p50 and p99."""
    requests: str
    """How many requests of each kind, and how long one took."""
    shares: str

    def lines(self) -> list[tuple[str, str, str]]:
        """Name, figure and aim."""
        at = f"{self.traffic.name} at {self.rate}/s"
        p50, p99 = (value * 1000 for value in self.histogram)
        aim = self.traffic.aims.get(self.rate, "")
        return [
            (f"{at}: after COMMIT returned", f"{self.after_commit}, {self.probes} probes", aim),
            (f"{at}: from before COMMIT", str(self.from_commit), ""),
            (f"{at}: the daemon's histogram", f"p50 {p50:.1f} p99 {p99:.1f} ms", ""),
            (f"{at}: the daemon's metric", str(quantiles(self.said)), ""),
            (f"{at}: its requests", self.requests, ""),
        ]


def run(both: Servers, rates: tuple[int, ...], seconds: float) -> tuple[list[Result], Quantiles]:
    """Measure at each rate, and the floor before; results and floor."""
    workload.create_table(both.database)
    both.database.execute(workload.INSERT, {"first": 1, "last": ROWS})
    floor = lowest(both)
    print(f"floor, one document by bulk with refresh=true: {floor}", flush=True)
    daemon = Daemon(both.folder, "delay", both.source.dsn, both.sink.url, freshness=0)
    with daemon:
        daemon.wait_until_streaming()
        at_rate(both, daemon, rates[0], WARM_UP_SECONDS)
        results = []
        for rate in rates:
            result = at_rate(both, daemon, rate, seconds)
            results.append(result)
            show(result)
    return results, floor


def lowest(both: Servers) -> Quantiles:
    """How long one document takes without any daemon, its refresh included."""
    create_index(both.search, projection_of(both.source.dsn), "floor")
    took = []
    body = b'{"index":{"_id":"%d"}}\n{"id":%d,"name":"Item","city":"City","note":"None"}\n'
    for number in range(FLOOR_REQUESTS * 2):
        began = time.monotonic()
        both.search.send("POST", "/floor/_bulk?refresh=true", body % (number, number), NDJSON)
        took.append(time.monotonic() - began)
    both.search.drop("floor")
    return quantiles(took[FLOOR_REQUESTS:])  # the first half warms Java up


def change_item(connection: psycopg.Connection, number: int) -> None:
    """Insert a row, or update one."""
    if number % 2:
        connection.execute(_INSERT_ONE, {"id": number})
    else:
        row = random.randint(1, ROWS)
        connection.execute(_UPDATE_ONE, {"id": row, "quantity": number % 1000})


def probe_item(connection: psycopg.Connection, number: int) -> bytes:
    """Insert a row."""
    connection.execute(_INSERT_ONE, {"id": -number})
    return b'{"query":{"term":{"id":%d}}}' % -number


ITEMS: Final = Traffic("delay", change_item, probe_item, {RATES[0]: "p50 under 25, p99 under 100"})


def at_rate(
    both: Servers, daemon: Daemon, rate: int, seconds: float, traffic: Traffic = ITEMS
) -> Result:
    """Work and probe at one rate."""
    context = multiprocessing.get_context("spawn")
    worked: Any = context.SimpleQueue()
    probed: Any = context.SimpleQueue()
    arguments = (traffic, both.source.dsn, seconds)
    worker = context.Process(target=work, args=(*arguments, rate, worked))
    prober = context.Process(target=_probe, args=(*arguments, both.sink.url, daemon.name, probed))
    worker.start()
    prober.start()
    time.sleep(1)  # both have connected by now
    before = daemon.metrics()
    shares = Shares(
        daemon=daemon.pid, PostgreSQL=both.source.pid or 0, OpenSearch=both.sink.pid or 0
    )
    said = list(_sampled(daemon, seconds - 1))
    taken = str(shares)
    after = daemon.metrics()
    done, probes = worked.get(), probed.get()
    worker.join()
    prober.join()
    series = f"{_HISTOGRAM}{{"
    headline = ('projection=""', 'stage="searchable"')
    chosen = {
        name: value for name, value in after.items() if all(label in name for label in headline)
    }
    p50, p99 = (histogram_quantile(before, chosen, series, share) for share in (0.5, 0.99))
    return Result(
        traffic=traffic,
        rate=rate,
        done=done,
        after_commit=quantiles([probe.found - probe.committed for probe in probes]),
        from_commit=quantiles([probe.found - probe.before_commit for probe in probes]),
        probes=len(probes),
        said=said,
        histogram=(p50, p99),
        requests=", ".join(
            _requests(before, after, kind, daemon.name) for kind in ("bulk_request", "refresh")
        ),
        shares=taken,
    )


def _requests(
    before: Mapping[str, float], after: Mapping[str, float], kind: str, pipeline: str
) -> str:
    """Requests between two scrapes: number and mean."""
    series = f'cdc_{kind}_duration_seconds_{{}}{{{{pipeline="{pipeline}",sink=""}}}}'
    seconds, count = (
        after[name] - before.get(name, 0.0)
        for name in (series.format("sum"), series.format("count"))
    )
    mean = seconds / count * 1000 if count else 0.0
    return f"{count:.0f} {kind.removesuffix('_request')} of {mean:.1f} ms"


def _sampled(daemon: Daemon, seconds: float) -> Iterator[float]:
    """The daemon's delay each second."""
    for _ in range(int(seconds)):
        time.sleep(1)
        delay = daemon.status()["delay_seconds"]["searchable"]
        if delay is not None:
            yield float(delay)


def show(result: Result) -> None:
    """Print how much was done, and with how much of the machine."""
    done = result.done
    print(
        f"{result.rate}/s: {done.transactions / done.seconds:,.0f} transactions/s done (begun late"
        f" by {done.late}), {result.probes} probes; machine: {result.shares}",
        flush=True,
    )


def work(traffic: Traffic, dsn: str, seconds: float, rate: int, answer: Any) -> None:
    """Commit transactions by the clock, over several connections."""
    numbers = itertools.count()
    first = unused_number()
    late: list[float] = []
    began = time.monotonic()

    def follow() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while (planned := (number := next(numbers)) / rate) < seconds:
                time.sleep(max(0.0, began + planned - time.monotonic()))
                late.append(time.monotonic() - began - planned)
                traffic.change(connection, first + number)

    threads = [threading.Thread(target=follow) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer.put(Done(len(late), time.monotonic() - began, quantiles(late)))


def _probe(traffic: Traffic, dsn: str, seconds: float, url: str, index: str, answer: Any) -> None:
    """Commit a change and search for it until found, again and again."""
    search = Search(url)
    probes: list[Probe] = []
    first = unused_number()
    until = time.monotonic() + seconds
    with psycopg.connect(dsn) as connection:
        while time.monotonic() < until:
            query = traffic.probe(connection, first + len(probes))
            before = time.monotonic()
            connection.commit()
            committed = time.monotonic()
            probes.append(Probe(before, committed, _found(search, index, query)))
            time.sleep(random.uniform(0, LONGEST_REST_SECONDS))
    answer.put(probes)


def unused_number() -> int:
    """One that no earlier run has got, nor any of the millions behind it."""
    return int(time.time() * 1000) * 1000


def _found(search: Search, index: str, query: bytes) -> float:
    """When a search finds what was committed."""
    path = f"/{index}/_search?size=0&request_cache=false&filter_path=hits.total.value"
    headers = {"Content-Type": "application/json"}
    deadline = time.monotonic() + LOST_SECONDS
    while time.monotonic() < deadline:
        if b'"value":0' not in search.send("POST", path, query, headers):
            return time.monotonic()
        time.sleep(SEARCH_PAUSE_SECONDS)
    raise RuntimeError(f"{query!r} found nothing within {LOST_SECONDS:.0f} s of the commit")


def main() -> None:
    """Start the servers and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rates", type=int, nargs="+", default=RATES)
    options = parser.parse_args()
    print(describe())
    with servers() as both:
        results, _ = run(both, tuple(options.rates), options.seconds)
    for result in results:
        for name, figure, aim in result.lines():
            print(f"{name:45} {figure:50} {aim}")


if __name__ == "__main__":
    main()
