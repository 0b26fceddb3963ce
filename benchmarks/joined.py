"""Joined read models: an e-commerce store's orders, with their items, their count and their sum.

First load, burst, rebuild from the state, the delay of a child's update, and a row that all
documents show. Loads and burst are compared with the same documents, ready, by bare HTTP.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import delay
import flat
import limit
import shop
from daemon_process import Daemon
from machine import Shares, describe
from memory import MEGABYTE, Sampler
from servers import Servers, servers

if TYPE_CHECKING:
    from collections.abc import Callable

SCALE: Final = 1.0
"""The store that the peers were measured with."""
GIVE_UP_SECONDS: Final = 1800.0
POLL_SECONDS: Final = 0.05
PEER_LOAD: Final = 5200
"""Documents a second of the best peer's first load of this read model, on a machine like this."""
PEER_BURST: Final = 980
"""The same of its burst."""
RENAME_RATE: Final = 200
RENAME_AFTER_SECONDS: Final = 5.0
NEW_NAME: Final = "South"

Line = tuple[str, str, str]


class Bench:
    """The store, and a daemon that is measured step by step on what there is by then."""

    def __init__(self, both: Servers, size: shop.Size) -> None:
        self._both = both
        self._size = size
        shop.create(both.database, size)
        print(f"{size.orders:,} orders with {size.items:,} items are there", flush=True)
        self._daemon = self._daemon_of("orders", shop.READ_MODEL)

    def run(self, seconds: float) -> list[Line]:
        """Measure everything; `seconds`: the delay at each rate."""
        whole, burst = self._limits()
        lines = [*self._loaded(whole), *self._changed(burst), *self._rebuilt(whole)]
        lines += self._delayed(seconds)
        self._forget(self._daemon)
        return [*lines, *self._renamed(seconds)]

    def _limits(self) -> tuple[limit.Limit, limit.Limit]:
        """All documents beside COPY; then those of a burst once more, beside its writer."""
        both = self._both
        plan = shop.plan_of(both.source.dsn)
        whole, again = (
            limit.write(islice(shop.documents(both.source.dsn, plan), count), file, both.sink.url)
            for count, file in (
                (self._size.orders, both.folder / "orders.ndjson"),
                (self._size.burst, both.folder / "burst.ndjson"),
            )
        )
        flat.warm_up(both, whole, plan)
        limit.create_index(both.search, plan, whole.index)
        bounds = (
            limit.beside(whole, shop.discard, both.source.dsn),
            limit.beside(again, shop.write_burst, self._burst(0)),
        )
        both.search.drop(whole.index)
        for name, bound in zip(("first load", "burst"), bounds, strict=True):
            print(
                f"limit of the {name}: rows {bound.drain:,.0f}/s, bulk {bound.bulk:,.0f}/s while "
                f"both run; in all {bound.drain_seconds:.1f} s and {bound.bulk_seconds:.1f} s",
                flush=True,
            )
        return bounds

    def _loaded(self, bound: limit.Limit) -> list[Line]:
        """Both tables into the state, then every document once."""
        with self._daemon as daemon:
            began = daemon.wait_until_loading()
            shares = self._shares(daemon)
            with Sampler(daemon.pid) as sampler:
                ended = _published(daemon)
            print(f"first load: {ended - began:.1f} s; machine: {shares}", flush=True)
            (in_state,) = daemon.times("state_whole")
            kept = daemon.metrics()['cdc_state_used_bytes{pipeline="orders"}']
        rows = self._size.orders + self._size.items
        of_source = kept / shop.source_bytes(self._both.database)
        whole = f"{self._size.orders / (ended - began):,.0f} documents/s"
        return [
            ("joined: COPY of both tables to nowhere", f"{bound.drain:,.0f} rows/s", ""),
            ("joined: rows into the state", f"{rows / (in_state - began):,.0f} rows/s", ""),
            ("joined: state", f"{of_source:.2f} bytes for each of the tables", ""),
            self._against("writing phase", ended - in_state, bound),
            ("joined: first load as a whole", whole, f"at least {3 * PEER_LOAD:,}"),
            _memory("first load", sampler),
        ]

    def _changed(self, bound: limit.Limit) -> list[Line]:
        """A burst, until its last document is searchable."""
        burst = self._burst(1)
        query = {"term": {"items.quantity": burst.mark}}
        with self._daemon as daemon, Sampler(daemon.pid) as sampler:
            daemon.wait_until_streaming()
            began = _begin(shop.write_burst, burst)
            shares = self._shares(daemon)
            _wait(daemon, lambda: self._both.search.count(daemon.name, query) == burst.orders)
            seconds = time.monotonic() - began
            print(f"burst: {seconds:.1f} s; machine: {shares}", flush=True)
        rate = f"{burst.orders / seconds:,.0f} documents/s"
        ratio = f"{bound.bulk_seconds / seconds:.2f}"
        return [
            ("joined: burst", rate, f"at least {5 * PEER_BURST:,}"),
            ("joined: burst / bare bulk beside the same writer", ratio, "at least 0.50"),
            _memory("burst", sampler),
        ]

    def _rebuilt(self, bound: limit.Limit) -> list[Line]:
        """The same documents in a new generation, from the state."""
        self._daemon.remap(index={"mappings": {"_meta": {"made": "again"}}})
        with self._daemon as daemon, Sampler(daemon.pid) as sampler:
            seconds = _published(daemon) - daemon.times("generation_created")[0]
            if daemon.said("loading") is not None:
                raise RuntimeError(f"the source was read for it:\n{daemon.log()}")
        print(f"rebuild: {seconds:.1f} s", flush=True)
        return [
            self._against("rebuild from the state", seconds, bound),
            _memory("rebuild", sampler),
        ]

    def _delayed(self, seconds: float) -> list[Line]:
        """Until an update of an item can be found in its order."""
        self._daemon.remap(freshness=0)
        traffic = shop.traffic(self._size, "joined: delay", "p50 under 30, p99 under 150")
        lines: list[Line] = []
        with self._daemon as daemon:
            daemon.wait_until_streaming()
            delay.at_rate(self._both, daemon, delay.RATES[0], delay.WARM_UP_SECONDS, traffic)
            for rate in delay.RATES:
                result = delay.at_rate(self._both, daemon, rate, seconds, traffic)
                delay.show(result)
                lines += result.lines()
        return lines

    def _renamed(self, seconds: float) -> list[Line]:
        """A row that all documents show gets another name, while other transactions go on."""
        traffic = shop.traffic(self._size, "joined: delay beside a wide rename", "p99 under 250")
        wide = self._daemon_of("wide", shop.WITH_WAREHOUSE)
        wide.remap(freshness=0)
        with wide as daemon, ThreadPoolExecutor() as beside:
            _published(daemon)
            daemon.wait_until_streaming()
            took = beside.submit(self._rename, daemon)
            result = delay.at_rate(self._both, daemon, RENAME_RATE, seconds, traffic)
            delay.show(result)
            figure = f"{self._size.orders:,} documents searchable after {took.result():.1f} s"
        self._forget(wide)
        return [*result.lines(), ("joined: wide rename", figure, "")]

    def _rename(self, daemon: Daemon) -> float:
        """Seconds until the last document shows the new name."""
        time.sleep(RENAME_AFTER_SECONDS)
        query = {"term": {"warehouse.name": NEW_NAME}}
        began = time.monotonic()
        self._both.database.execute("update warehouse set name = %s", [NEW_NAME])
        _wait(daemon, lambda: self._both.search.count(daemon.name, query) == self._size.orders)
        return time.monotonic() - began

    def _daemon_of(self, name: str, read_model: dict[str, Any]) -> Daemon:
        return Daemon(
            self._both.folder, name, self._both.source.dsn, self._both.sink.url, **read_model
        )

    def _burst(self, number: int) -> shop.Burst:
        return shop.Burst(self._both.source.dsn, self._size.burst, shop.BURST_MARKS + number)

    def _shares(self, daemon: Daemon) -> Shares:
        source, sink = self._both.source, self._both.sink
        return Shares(daemon=daemon.pid, PostgreSQL=source.pid or 0, OpenSearch=sink.pid or 0)

    def _against(self, name: str, seconds: float, bound: limit.Limit) -> Line:
        """All documents, beside all of them by bare HTTP."""
        rate, ratio = self._size.orders / seconds, bound.bulk_seconds / seconds
        figure = f"{rate:,.0f} documents/s, {ratio:.2f} of bare bulk"
        return (f"joined: {name}", figure, "at least 0.60")

    def _forget(self, daemon: Daemon) -> None:
        self._both.search.drop(f"{daemon.name}-*")
        flat.drop_slot(self._both, f"cdc_{daemon.name}")


def run(both: Servers, scale: float, seconds: float) -> list[Line]:
    """Measure a store of that scale."""
    size = shop.Size(int(shop.USERS * scale), int(shop.ORDERS * scale))
    return Bench(both, size).run(seconds)


def _begin(write: Callable[..., None], what: object) -> float:
    """Let a process of its own write; returns when it begins."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    answers: Any = context.SimpleQueue()
    context.Process(target=write, args=(what, barrier, answers)).start()
    barrier.wait()
    return time.monotonic()


def _published(daemon: Daemon) -> float:
    """The Unix time at which searches saw all documents."""
    _wait(daemon, lambda: daemon.said("published") is not None)
    return daemon.times("published")[0]


def _wait(daemon: Daemon, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within half an hour:\n{daemon.log()[-3000:]}")
        time.sleep(POLL_SECONDS if daemon.pid else 0)


def _memory(name: str, sampler: Sampler) -> Line:
    """Without pages of files, those of the state among them."""
    figure = f"{sampler.peak.anonymous / MEGABYTE:.0f} MB anonymous"
    return (f"joined: memory, {name}", figure, "under 200 MB")


def main() -> None:
    """Start the servers and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=SCALE, help="of the store: 0.05 for a look")
    parser.add_argument("--seconds", type=float, default=delay.SECONDS, help="of each delay")
    options = parser.parse_args()
    print(describe())
    with servers() as both:
        print(both.versions, flush=True)
        lines = run(both, options.scale, options.seconds)
    for name, figure, aim in lines:
        print(f"{name:55} {figure:50} {aim}")


if __name__ == "__main__":
    main()
