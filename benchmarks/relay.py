"""Out of one machine: a relay into Kafka, and projectors that share the documents.

The relay is compared with a reader that discards the same changes; the delay with that of a daemon
that follows PostgreSQL itself. All of it runs on this machine: what several projectors reach on
machines of their own is told by what each takes of the processor, not by how fast they are here.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import delay
import flat
import limit
import shop
import workload
from daemon_process import Daemon
from machine import describe, family_cpu_seconds
from servers import Servers, servers

from cdc_daemon import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SCALE: Final = 0.1
"""Of the store that joined read models are measured with."""
SECONDS: Final = 20.0
"""Of each delay."""
WARM_UP_SECONDS: Final = 15.0
RATE: Final = 200
DRAIN_BURSTS: Final = 10
"""So many bursts wait in the slot for the relay."""
REPLICAS: Final = (1, 2, 3)
TAKE_OVERS: Final = 3
TABLES: Final = ["public.warehouse", "public.orders", "public.item"]
LOG: Final = "shop.log"
RELAY: Final = "shoprelay"
SHARED: Final = "shared"
CHANGE_PROBED: Final = """
update item set quantity = %(mark)s where order_id <= %(last)s and id %% 3 = 0
"""
"""An item of each of the first orders."""
GIVE_UP_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.05

Line = tuple[str, str, str]


class Bench:
    """The store, a relay and projectors, measured step by step on what there is by then."""

    def __init__(self, both: Servers, kafka: embedded.KafkaServer, size: shop.Size) -> None:
        self._both = both
        self._kafka = kafka
        self._size = size
        self._marks = iter(range(shop.BURST_MARKS, shop.BURST_MARKS + 1000))
        shop.create(both.database, size)
        print(f"{size.orders:,} orders with {size.items:,} items are there", flush=True)
        self._relay = self._relay_of()
        self._projectors = [self._projector_of(number) for number in range(max(REPLICAS))]

    def run(self, seconds: float) -> list[Line]:
        """Measure everything; `seconds`: each delay."""
        lines = self._delayed(self._direct(), "delay direct", seconds)
        flat.drop_slot(self._both, "cdc_direct")
        with self._relay:
            self._relay.wait_until_streaming()
        lines += self._drained()
        with self._relay:
            self._relay.wait_until_streaming()
            lines += self._shared()
            lines += self._taken_over()
            lines += self._delayed(self._projectors[0], "delay through Kafka", seconds)
        return lines

    def _delayed(self, daemon: Daemon, name: str, seconds: float) -> list[Line]:
        """Until an update of an item can be found in its order."""
        traffic = shop.traffic(self._size, name, "")
        with daemon:
            daemon.wait_until_streaming()
            delay.at_rate(self._both, daemon, RATE, WARM_UP_SECONDS, traffic)
            result = delay.at_rate(self._both, daemon, RATE, seconds, traffic)
        delay.show(result)
        return result.lines()[:1]

    def _drained(self) -> list[Line]:
        """The same changes, received and dropped; then read and written to Kafka."""
        create_slot = "select pg_create_logical_replication_slot('bare', 'pgoutput')"
        self._both.database.execute(create_slot)
        changes = sum(self._burst() for _ in range(DRAIN_BURSTS))
        end = workload.current_position(self._both.database)
        feed = limit.Feed(self._both.source.dsn, "bare", f"cdc_{RELAY}", end)
        bare = changes / limit.drain_alone(feed)
        flat.drop_slot(self._both, "bare")
        with self._relay as relay:
            began = relay.wait_until_streaming()
            before = family_cpu_seconds(relay.pid)
            self._wait_until_relayed(end)
            seconds = time.time() - began
            cpu = (family_cpu_seconds(relay.pid) - before) / changes * 1e6
        rate = changes / seconds
        return [
            ("relay: bare drain of the slot", f"{bare:,.0f} changes/s", ""),
            ("relay: into topics and log", f"{rate:,.0f} changes/s, {cpu:.1f} us a change", ""),
            ("relay: of the bare drain", f"{rate / bare:.2f}", ""),
        ]

    def _shared(self) -> list[Line]:
        """A burst, worked off by one, two and three of them."""
        lines, costs = [], {}
        for count in REPLICAS:
            with self._running(count) as replicas:
                rate, costs[count] = self._worked_off(replicas)
            figure = f"{rate:,.0f} changes/s, {costs[count]:.0f} us a change in each"
            lines.append((f"projectors: {count} on this machine", figure, ""))
        return [*lines, *_implied(costs)]

    def _worked_off(self, replicas: Sequence[Daemon]) -> tuple[float, float]:
        """Changes a second, and what one change takes of each one's processor, in microseconds."""
        with self._frozen_relay():
            changes, mark = self._burst(), self._mark
            before = sum(family_cpu_seconds(one.pid) for one in replicas)
        began = time.monotonic()
        query = {"term": {"items.quantity": mark}}
        documents = self._size.burst
        _wait(replicas, lambda: self._both.search.count(SHARED, query) == documents)
        seconds = time.monotonic() - began
        cpu = sum(family_cpu_seconds(one.pid) for one in replicas) - before
        return changes / seconds, cpu / changes / len(replicas) * 1e6

    def _taken_over(self) -> list[Line]:
        """From SIGKILL until changes of documents that were the killed one's can be found."""
        took = [self._take_over() for _ in range(TAKE_OVERS)]
        figure = f"{statistics.median(took):.1f} s ({min(took):.1f} to {max(took):.1f})"
        return [("projectors: one of two killed, the other has taken over", figure, "")]

    def _take_over(self) -> float:
        query = {"term": {"items.quantity": (mark := next(self._marks))}}
        search, probed = self._both.search, shop.PROBED_ORDERS
        with self._running(2) as (left, killed):
            killed.kill()
            began = time.monotonic()
            self._both.database.execute(CHANGE_PROBED, {"mark": mark, "last": probed})
            _wait([left], lambda: search.count(SHARED, query) == probed)
            return time.monotonic() - began

    @contextmanager
    def _running(self, count: int) -> Iterator[list[Daemon]]:
        """So many projectors, each with its share of the documents."""
        replicas = self._projectors[:count]
        with ExitStack() as stack:
            for one in replicas:
                stack.enter_context(one)
            _wait(replicas, lambda: all(_has_share(one, count) for one in replicas))
            yield replicas

    @contextmanager
    def _frozen_relay(self) -> Iterator[None]:
        """What is written meanwhile comes to projectors at once, when it goes on."""
        self._relay.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self._relay.send(signal.SIGCONT)

    def _burst(self) -> int:
        """Commit one; returns how many changes it was."""
        self._mark = next(self._marks)
        return shop.commit_burst(shop.Burst(self._both.source.dsn, self._size.burst, self._mark))

    def _wait_until_relayed(self, end: int) -> None:
        _wait([self._relay], lambda: _durable(self._relay) >= end)

    def _direct(self) -> Daemon:
        both = self._both
        daemon = Daemon(both.folder, "direct", both.source.dsn, both.sink.url, **shop.READ_MODEL)
        daemon.remap(freshness=0)
        return daemon

    def _relay_of(self) -> Daemon:
        relay = Daemon(self._both.folder, RELAY, self._both.source.dsn, self._both.sink.url)
        relay.configure(
            sink={**self._cluster(), "type": "kafka", "log": LOG},
            relay={"tables": TABLES, "snapshot": "never"},
            projections=None,
        )
        return relay

    def _projector_of(self, number: int) -> Daemon:
        folder = self._both.folder / f"projector{number}"
        dsn = self._both.source.dsn
        projector = Daemon(folder, SHARED, dsn, self._both.sink.url, **shop.READ_MODEL)
        projector.remap(freshness=0)
        projector.configure(source={**self._cluster(), "type": "relay", "dsn": dsn, "log": LOG})
        projector.share()
        return projector

    def _cluster(self) -> dict[str, Any]:
        return {"bootstrap_servers": self._kafka.bootstrap_servers}


def run(both: Servers, kafka: embedded.KafkaServer, scale: float, seconds: float) -> list[Line]:
    """Measure a store of that scale."""
    size = shop.Size(int(shop.USERS * scale), int(shop.ORDERS * scale))
    return Bench(both, kafka, size).run(seconds)


def _implied(costs: dict[int, float]) -> list[Line]:
    """What each does of every change, and what is shared: a line through two measured costs.

    `costs`: microseconds a change in each, by how many share.
    """
    most = max(costs)
    shared = (costs[1] - costs[most]) / (1 - 1 / most)
    common = costs[1] - shared
    curve = ", ".join(f"{n}: {1e6 / (common + shared / n):,.0f}" for n in (1, 2, 4, 8, 16))
    return [
        ("projectors: read, decode, keep: every change in each", f"{common:.0f} us", ""),
        ("projectors: assemble, encode, send: shared", f"{shared:.0f} us", ""),
        ("projectors: implied changes/s, a core each", curve, ""),
    ]


def _has_share(projector: Daemon, count: int) -> bool:
    shown = projector.status()
    replica = shown.get("replica", {})
    is_one_of_all = replica.get("members") == count and bool(replica.get("slots"))
    return shown.get("state") == "streaming" and is_one_of_all


def _durable(daemon: Daemon) -> int:
    high, _, low = daemon.status()["position"]["durable"].partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def _wait(daemons: Sequence[Daemon], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not _is(reached):
        if time.monotonic() > deadline:
            logs = "\n".join(daemon.log()[-3000:] for daemon in daemons)
            raise RuntimeError(f"not within {GIVE_UP_SECONDS:.0f} s:\n{logs}")
        time.sleep(POLL_SECONDS if all(daemon.pid for daemon in daemons) else 0)


def _is(reached: Callable[[], bool]) -> bool:
    """False while nobody answers yet."""
    try:
        return reached()
    except OSError:
        return False


def main() -> None:
    """Start the servers and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=SCALE, help="of the store: 0.02 for a look")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each delay")
    options = parser.parse_args()
    print(describe())
    with servers() as both, embedded.kafka() as kafka:
        print(f"{both.versions}, {kafka.name}", flush=True)
        lines = run(both, kafka, options.scale, options.seconds)
    for name, figure, aim in lines:
        print(f"{name:55} {figure:50} {aim}")


if __name__ == "__main__":
    main()
