"""Waiting: how long a client waits after COMMIT until a search shows it, and what waiters cost.

A workload of 200 transactions a second runs beside it. One client commits a row, takes a token,
waits for its document, and checks that a search finds it; again and again. Meanwhile 0, 10 or 1,000
others wait, half of them for a document, for a read model that is being loaded all the time: so
nothing wakes them, and all that they cost is that they are there. Then 1,000 wait for documents of
a read model that is searched, each for its own, which have been received: its sink takes no writes,
and the other one goes on. The read model is refreshed once a minute but for those who wait.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

import delay
import psycopg
import workload
from daemon_process import Daemon
from machine import Shares, describe
from quantiles import Quantiles, quantiles
from search import Search
from servers import Servers, servers

from connectors.postgres.lsn import parse_lsn

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE: Final = 200
SECONDS: Final = 50.0
"""Beside each number of waiters: less than they wait."""
WAITERS: Final = (0, 10, 1000)
FRESHNESS: Final = "1m"
LOADING: Final = "loading"
"""The read model that nobody ever sees."""
LOADING_ROWS_PER_SECOND: Final = 1
HELD: Final = "held"
"""The read model whose sink takes nothing."""
TIMEOUT_SECONDS: Final = 60
"""As long as `consistency.max_timeout` lets a request wait."""
PAUSE_SECONDS: Final = 0.02
Query = dict[str, str]
"""Of a request that waits."""
_END: Final = "select pg_current_wal_insert_lsn()::text"


class Waited(NamedTuple):
    """One commit of the client, seconds."""

    reached: float
    """From the return of COMMIT until the daemon said that it can be found."""
    found: bool
    """Whether it was."""


class Result(NamedTuple):
    """What was measured beside so many waiters."""

    beside: str
    """Whom."""
    alone: bool
    """Nobody waited."""
    waits: Quantiles
    missed: int
    cpu_share: float
    """Of one core, that the daemon took."""
    shares: str


def run(both: Servers, waiters: Sequence[int], seconds: float) -> tuple[list[Result], Quantiles]:
    """Measure beside each number of waiters, and the floor before; results and floor."""
    workload.create_table(both.database)
    both.database.execute(workload.INSERT, {"first": 1, "last": delay.ROWS})
    both.database.execute("create table filler as select i as id from generate_series(1, 9999) i")
    both.database.execute("alter table filler add primary key (id)")
    floor = delay.lowest(both)
    print(f"floor, one document by bulk with refresh=true: {floor}", flush=True)
    daemon = Daemon(both.folder, "waiting", both.source.dsn, both.sink.url, freshness=FRESHNESS)
    with daemon:
        daemon.wait_until_streaming()
    daemon.add(LOADING, "public.filler")
    slow = {"rows_per_second": LOADING_ROWS_PER_SECOND, "chunk": "8kB", "workers": 1}
    daemon.configure(backfill=slow)
    with daemon:
        daemon.wait_until_loading()
        beside(both, daemon, [], seconds, "nobody")  # Java compiles what it has run often
        results = [
            beside(both, daemon, loading(number, both), seconds, f"{number} waiters")
            for number in waiters
        ]
    return [*results, *beside_held(both, max(waiters), seconds)], floor


def loading(number: int, both: Servers) -> list[Query]:
    """So many who wait for what is being loaded."""
    token = _end(both.database)
    return [_query(LOADING, token, str(one) if one % 2 else None) for one in range(number)]


def beside_held(both: Servers, number: int, seconds: float) -> list[Result]:
    """The same beside a sink that takes nothing, and with as many who wait for it."""
    both.database.execute("create table held (id int primary key)")
    daemon = Daemon(both.folder, "beside_held", both.source.dsn, both.sink.url, freshness=FRESHNESS)
    search = {"type": "opensearch", "hosts": [both.sink.url]}
    tables = {"type": "postgres", "dsn": both.source.dsn}
    daemon.configure(sink=None, sinks={"search": search, "tables": tables})
    daemon.add(HELD, "public.held", sink="tables")
    with daemon, psycopg.connect(both.source.dsn) as holding:
        daemon.wait_until_streaming()
        holding.execute(f"lock table read_models.{HELD}_000001 in exclusive mode")
        both.database.execute("insert into held select generate_series(1, %s)", [number])
        token = _end(both.database)
        while _received(daemon) < parse_lsn(token):
            time.sleep(0.1)
        waiting = [_query(HELD, token, str(one + 1)) for one in range(number)]
        return [
            beside(both, daemon, [], seconds, "a sink that takes nothing"),
            beside(both, daemon, waiting, seconds, f"it, and {number} who wait for it"),
        ]


def _received(daemon: Daemon) -> int:
    return parse_lsn(daemon.status()["position"]["received"])


def _end(database: psycopg.Connection) -> str:
    row: tuple[str] = database.execute(_END).fetchone() or ("",)
    return row[0]


def _query(projection: str, token: str, document: str | None) -> Query:
    query = {"token": token, "projection": projection, "timeout": str(TIMEOUT_SECONDS)}
    return query if document is None else {**query, "id": document}


def beside(
    both: Servers, daemon: Daemon, waiting: Sequence[Query], seconds: float, whom: str
) -> Result:
    """Work, commit and wait, while others wait."""
    context = multiprocessing.get_context("spawn")
    worked: Any = context.SimpleQueue()
    waited: Any = context.SimpleQueue()
    dsn, url = both.source.dsn, both.sink.url
    worker = context.Process(target=delay.work, args=(delay.ITEMS, dsn, seconds, RATE, worked))
    to = (dsn, url, daemon.address, daemon.name)
    client = context.Process(target=_client, args=(*to, seconds, waited))
    with ExitStack() as stack:
        for query in waiting:
            stack.enter_context(_waiter(daemon.address, query))
        worker.start()
        client.start()
        time.sleep(1)  # both have connected by now
        shares = Shares(daemon=daemon.pid, OpenSearch=both.sink.pid or 0)
        time.sleep(seconds - 2)
        cpu_share, shown = shares.cpu_seconds("daemon") / (seconds - 2), str(shares)
        there = daemon.metrics()[f'cdc_waiters{{pipeline="{daemon.name}"}}']
        waits: list[Waited] = waited.get()
        worked.get()
    worker.join()
    client.join()
    if there < len(waiting):
        raise RuntimeError(f"only {there:.0f} waited at the end: fewer --seconds would do")
    took = quantiles([one.reached for one in waits])
    missed = sum(not one.found for one in waits)
    return Result(whom, not waiting, took, missed, cpu_share, shown)


def _waiter(address: str, query: Query) -> socket.socket:
    """One that waits until it hangs up."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(f"GET /api/v1/wait?{urlencode(query)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


def _client(dsn: str, url: str, address: str, name: str, seconds: float, answer: Any) -> None:
    """Commit, wait and search, again and again."""
    search, daemon = Search(url), http.client.HTTPConnection(address)
    waits: list[Waited] = []
    first = delay.unused_number()
    until = time.monotonic() + seconds
    with psycopg.connect(dsn) as connection:
        for number in itertools.count(first):
            if time.monotonic() > until:
                break
            query = delay.ITEMS.probe(connection, number)
            connection.commit()
            committed = time.monotonic()
            token = connection.execute(_END).fetchone() or ("",)
            connection.rollback()
            _wait(daemon, name, token[0], -number)
            reached = time.monotonic()
            path = f"/{name}/_search?size=0&filter_path=hits.total.value"
            said = search.send("POST", path, query, {"Content-Type": "application/json"})
            waits.append(Waited(reached - committed, b'"value":1' in said))
            time.sleep(PAUSE_SECONDS)
    answer.put(waits)


def _wait(daemon: http.client.HTTPConnection, name: str, token: str, row: int) -> None:
    query = urlencode({"token": token, "projection": name, "id": row})
    daemon.request("GET", f"/api/v1/wait?{query}")
    answer = daemon.getresponse()
    body = json.loads(answer.read())
    if answer.status != http.client.OK:
        raise RuntimeError(f"not reached: {body}")


def lines(results: Sequence[Result], floor: Quantiles) -> list[tuple[str, str, str]]:
    """Name, figure and aim."""
    alone = results[0].cpu_share
    shown = [("waiting: floor, a bulk of one with refresh", str(floor), "")]
    for result in results:
        at = f"waiting: {RATE}/s beside {result.beside}"
        if result.alone:
            alone = result.cpu_share
        waits = result.waits
        ratios = f"{waits.p50 / floor.p50:.1f} and {waits.p99 / floor.p99:.1f} times the floor's"
        more = result.cpu_share - alone
        shown += [
            (at, f"{waits}; p50 and p99 are {ratios}", "p50 under 20, p99 under 100"),
            (f"{at}: searches that missed", str(result.missed), "0"),
            (
                f"{at}: CPU",
                f"{result.cpu_share:.0%} of a core, {more:+.1%}",
                "under 5% more",
            ),
        ]
    return shown


def main() -> None:
    """Start the servers and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--waiters", type=int, nargs="+", default=WAITERS)
    options = parser.parse_args()
    print(describe(), f"load average {os.getloadavg()[0]:.1f}", sep="; ")
    with servers() as both:
        results, floor = run(both, options.waiters, options.seconds)
    for result in results:
        print(f"beside {result.beside}; machine: {result.shares}")
    for name, figure, aim in lines(results, floor):
        print(f"{name:45} {figure:90} {aim}")


if __name__ == "__main__":
    main()
