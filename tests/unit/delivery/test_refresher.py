"""The refresher: as often as freshness asks, never for nothing, and gentle after a failure."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.consistency.freshness import Freshness
from cdc_daemon.delivery import refresher as module
from cdc_daemon.delivery.hurry import Hurry
from cdc_daemon.delivery.lane import Batch, Lane
from cdc_daemon.delivery.progress import Progress
from cdc_daemon.delivery.refresher import Refresher
from cdc_daemon.errors import SinkError
from cdc_daemon.events import DocumentOperation, Position
from tests.generators.conditions import wait_until
from tests.generators.memory_sink import MemorySink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Bench:
    """A refresher over a sink in memory, and what it said."""

    def __init__(self, freshness: float) -> None:
        self.sink = MemorySink()
        self.lane = Lane(1)
        self.busy = False
        self.progress = Progress([self.lane])
        self.hurry = Hurry(("one", "two"))
        self.took: list[float] = []
        self.retries: list[str] = []
        self.failures: list[BaseException] = []
        wanted = dict.fromkeys(("one", "two"), freshness)
        self.freshness = Freshness({"one": "ones", "two": "twos"}, wanted)
        self.refresher = Refresher(
            sink=self.sink,
            indices=frozenset(wanted),
            progress=self.progress,
            freshness_seconds=wanted,
            freshness=self.freshness,
            hurry=self.hurry,
            busy=lambda: self.busy,
            refreshed=lambda _, seconds: self.took.append(seconds),
            retried=lambda reason, _: self.retries.append(reason),
            failed=self.failures.append,
        )
        self.refresher.start()

    def write(self, index: str, position: int) -> None:
        """One document is durable."""
        batch = Batch(self.progress.received)
        self.freshness.written(index)
        batch.by_index[index] = {b"a": DocumentOperation(index, b"a", position, b"{}")}
        self.progress.written(batch)
        self.progress.received = Position(position)
        self.refresher.wake()

    def refreshes(self) -> Counter[object]:
        """How often each index was refreshed."""
        return Counter(
            index
            for what, indices in self.sink.said
            if what == "refresh" and isinstance(indices, tuple)
            for index in indices
        )


@pytest.fixture
def bench() -> Iterator[Callable[[float], Bench]]:
    """Make one with a freshness; ended afterwards."""
    made: list[Bench] = []

    def make(freshness: float) -> Bench:
        made.append(Bench(freshness))
        return made[-1]

    yield make
    for one in made:
        one.sink.gate.set()
        one.refresher.close()
        one.refresher.join(5)
        assert not one.refresher.is_alive()


def test_the_first_write_is_searchable_at_once(bench: Callable[[float], Bench]) -> None:
    """After a pause nobody waits for freshness; and only what was written to is refreshed."""
    one = bench(30.0)
    one.write("one", 5)
    assert wait_until(lambda: one.progress.searchable() == 5, 1)
    time.sleep(0.1)
    assert one.refreshes() == {"one": 1}


def test_writes_that_go_on_are_refreshed_as_often_as_freshness_asks(
    bench: Callable[[float], Bench],
) -> None:
    """Twenty writes within a second, with a freshness of 0.25 s, take about five refreshes."""
    one = bench(0.25)
    for position in range(2, 22):
        one.write("one", position)
        time.sleep(0.05)
    assert wait_until(lambda: one.progress.searchable() == 21, 1)
    assert 3 <= one.refreshes()["one"] <= 7


@pytest.mark.parametrize("awaited", [False, True])
def test_refreshing_takes_at_most_half_of_the_time(
    bench: Callable[[float], Bench], *, awaited: bool
) -> None:
    """Under load, a slow refresh with freshness 0, or for those who wait, leaves indexing as much
    time as it takes.
    """  # noqa: D205 - one sentence
    one = bench(3600.0 if awaited else 0.0)
    one.busy = True
    real = one.sink.refresh

    def slow(indices: object) -> None:
        time.sleep(0.1)
        real(indices)  # type: ignore[arg-type]  # as given

    one.sink.refresh = slow  # type: ignore[method-assign]  # slower
    until = time.monotonic() + 1.0
    position = 1
    while time.monotonic() < until:
        position += 1
        if awaited:
            one.hurry.up_to(Position(position))
        one.write(("one", "two")[position % 2], position)
        time.sleep(0.005)
    refreshes = [what for what, _ in one.sink.said if what == "refresh"]
    assert 2 <= len(refreshes) <= 6


def test_what_was_written_during_a_refresh_waits_for_the_next(
    bench: Callable[[float], Bench],
) -> None:
    """A refresh that had begun before a write proves nothing of it."""
    one = bench(0.0)
    begun, go_on = threading.Event(), threading.Event()
    real = one.sink.refresh

    def held(indices: object) -> None:
        real(indices)  # type: ignore[arg-type]  # as given
        begun.set()
        go_on.wait(5)

    one.sink.refresh = held  # type: ignore[method-assign]  # held
    one.write("one", 5)
    assert begun.wait(2)
    begun.clear()
    one.write("one", 9)
    one.sink.refresh = real  # type: ignore[method-assign]  # the second is a common one
    assert one.progress.searchable() == 0
    go_on.set()
    assert wait_until(lambda: one.progress.searchable() == 9, 2)


@pytest.mark.parametrize("finishing", [False, True])
def test_after_a_failure_the_sink_has_a_rest(
    bench: Callable[[float], Bench], monkeypatch: pytest.MonkeyPatch, *, finishing: bool
) -> None:
    """A sink that is away is asked once a second (here 0.2 s), also while the daemon stops."""
    monkeypatch.setattr(module, "WAIT_AFTER_FAILURE_SECONDS", 0.2)
    one = bench(0.0)
    one.sink.away = True
    if finishing:
        one.refresher.finish()
    one.write("one", 5)
    time.sleep(0.7)
    assert 2 <= len(one.retries) <= 5
    assert one.progress.searchable() == 0
    one.sink.away = False
    assert wait_until(lambda: one.progress.searchable() == 5, 1)


def test_finishing_does_not_wait_for_freshness(bench: Callable[[float], Bench]) -> None:
    """While the daemon stops, what is durable is made searchable at once."""
    one = bench(60.0)
    one.write("one", 5)
    assert wait_until(lambda: one.progress.searchable() == 5, 1)
    one.write("one", 6)
    time.sleep(0.1)
    assert one.progress.searchable() == 5
    one.refresher.finish()
    assert wait_until(lambda: one.progress.searchable() == 6, 1)


def test_an_index_that_is_gone_ends_it(bench: Callable[[float], Bench]) -> None:
    """What only a person can mend is handed to who supervises."""
    one = bench(0.0)

    def gone(_: object) -> None:
        raise SinkError("deleted under us")

    one.sink.refresh = gone  # type: ignore[method-assign,assignment]  # fails
    one.write("one", 5)
    assert wait_until(lambda: bool(one.failures), 1)
    assert isinstance(one.failures[0], SinkError)


def test_what_is_awaited_is_refreshed_as_soon_as_it_is_durable(
    bench: Callable[[float], Bench],
) -> None:
    """Whatever freshness says, by one refresh for all who wait; and afterwards as before."""
    one = bench(3600.0)
    one.write("one", 5)
    assert wait_until(lambda: one.progress.searchable() == 5)
    one.write("one", 9)
    for position in (6, 7, 8, 9, 9):
        one.hurry.up_to(Position(position))
    one.hurry.take_read(Position(9))
    one.refresher.wake()
    assert wait_until(lambda: one.progress.searchable() == 9)
    assert one.refreshes() == {"one": 2}
    one.write("one", 12)
    time.sleep(0.1)
    assert one.refreshes() == {"one": 2}


def test_nothing_is_refreshed_for_what_is_not_durable(bench: Callable[[float], Bench]) -> None:
    """It would have to be refreshed again, and the first would be in the way of the second."""
    one = bench(3600.0)
    one.write("one", 5)
    assert wait_until(lambda: one.progress.searchable() == 5)
    one.write("one", 9)
    one.hurry.up_to(Position(12))
    one.hurry.take_read(Position(9))
    one.refresher.wake()
    time.sleep(0.1)
    assert one.refreshes() == {"one": 1}
    one.progress.received = Position(12)
    one.hurry.take_read(Position(12))
    one.refresher.wake()
    assert wait_until(lambda: one.progress.searchable() == 12)


def test_a_refresh_that_fails_leaves_what_is_awaited_awaited(
    bench: Callable[[float], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt comes after the sink's rest, and not after the freshness."""
    monkeypatch.setattr(module, "WAIT_AFTER_FAILURE_SECONDS", 0.1)
    one = bench(3600.0)
    one.write("one", 5)
    assert wait_until(lambda: one.progress.searchable() == 5)
    one.sink.away = True
    one.write("one", 9)
    one.refresher.show("one")
    assert wait_until(lambda: len(one.retries) >= 2)
    one.sink.away = False
    assert wait_until(lambda: one.progress.searchable() == 9)


def test_what_was_achieved_is_how_long_the_first_write_waited(
    bench: Callable[[float], Bench],
) -> None:
    """From the write to the end of the refresh that shows it; a failure makes it longer."""
    one = bench(0.3)
    one.write("one", 5)
    assert wait_until(lambda: one.progress.searchable() == 5, 5)
    written = time.monotonic()
    one.write("one", 7)
    one.write("one", 8)
    assert wait_until(lambda: one.progress.searchable() == 8, 5)
    ones, twos = one.freshness.achieved()
    looked = time.monotonic()
    assert (ones.projection, ones.configured) == ("ones", 0.3)
    assert 0.1 < ones.achieved <= looked - written
    assert twos.achieved == 0
    one.sink.away = True
    one.write("one", 9)
    failed = time.monotonic()
    assert wait_until(lambda: bool(one.retries), 5)
    looked = time.monotonic()
    assert one.freshness.achieved()[0].achieved >= looked - failed
