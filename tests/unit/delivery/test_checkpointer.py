"""The checkpointer: stores in its intervals, at once when it is urgent, and never goes back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.delivery import checkpointer as module
from cdc_daemon.delivery.checkpointer import Checkpointer
from cdc_daemon.errors import SinkError
from cdc_daemon.events import Checkpoint, Load, Position
from tests.generators.conditions import wait_until
from tests.generators.memory_sink import MemorySink, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUSY, IDLE = 0.3, 1.0


class Bench:
    """A checkpointer over a sink in memory, begun at position 1."""

    def __init__(self, sink: MemorySink) -> None:
        self.sink = sink
        self.heard = 0
        self.failures: list[BaseException] = []
        self.checkpointer = Checkpointer(sink.checkpoints, "pipe", self.hear, self.failures.append)
        self.checkpointer.begin(Checkpoint("pipe", Position(1), "system/1"))

    def hear(self) -> None:
        """Something was stored."""
        self.heard += 1

    def offer(
        self, position: int, documents: int = 0, *, urgent: bool = False, awaited: bool = False
    ) -> None:
        """Offer a position."""
        self.checkpointer.offer(Position(position), documents, urgent=urgent, awaited=awaited)

    def stored(self) -> list[int]:
        """Every position that was stored, in order."""
        return [
            about.position
            for what, about in self.sink.said
            if what == "checkpoint" and isinstance(about, Checkpoint)
        ]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    """Make one; ended afterwards."""
    monkeypatch.setattr(module, "INTERVAL_SECONDS", BUSY)
    monkeypatch.setattr(module, "IDLE_INTERVAL_SECONDS", IDLE)
    made: list[Bench] = []

    def make(trouble: Trouble | None = None) -> Bench:
        made.append(Bench(MemorySink(trouble)))
        return made[-1]

    yield make
    for one in made:
        one.checkpointer.close()
        one.checkpointer.join(5)
        assert not one.checkpointer.is_alive()


def test_the_first_offer_is_stored_at_once(bench: Callable[..., Bench]) -> None:
    """And the checkpoint keeps all that it was begun with."""
    one = bench()
    assert one.checkpointer.stored == 1
    one.offer(5)
    assert wait_until(lambda: one.checkpointer.stored == 5, 1)
    assert one.sink.checkpoints.stored["pipe"] == Checkpoint("pipe", Position(5), "system/1")
    assert one.heard == 1


def test_what_is_awaited_is_stored_soon(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what is offered while another one is being stored, and never again."""
    monkeypatch.setattr(module, "IDLE_INTERVAL_SECONDS", 60.0)
    one = bench()
    one.sink.checkpoints.gate.clear()
    one.offer(5, awaited=True)
    assert wait_until(lambda: one.sink.checkpoints.begun == 1, 5)
    one.offer(6, awaited=True)
    one.sink.checkpoints.gate.set()
    assert wait_until(lambda: one.checkpointer.stored == 6, 10)
    one.offer(7, awaited=True)
    assert wait_until(lambda: one.checkpointer.stored == 7, 10)


def test_the_end_says_what_was_written(bench: Callable[..., Bench]) -> None:
    """At once, and with every position that is stored after it; before, nobody knows."""
    one = bench()
    one.offer(5)
    assert wait_until(lambda: one.checkpointer.stored == 5, 1)
    assert one.sink.checkpoints.stored["pipe"].written is None
    one.checkpointer.finish(Position(9))
    assert wait_until(lambda: one.sink.checkpoints.stored["pipe"].written == 9, 2 * IDLE)
    assert one.checkpointer.is_current
    one.offer(7, urgent=True)
    assert wait_until(lambda: one.checkpointer.stored == 7, 1)
    assert one.sink.checkpoints.stored["pipe"].written == 9


def test_while_documents_are_written_it_stores_once_an_interval(
    bench: Callable[..., Bench],
) -> None:
    """Many offers make few checkpoints, the last offer included."""
    one = bench()
    until, position = time.monotonic() + 3 * BUSY, 1
    while time.monotonic() < until:
        position += 1
        one.offer(position, documents=position)
        time.sleep(0.01)
    assert wait_until(lambda: one.checkpointer.stored == position, 2 * BUSY)
    assert 3 <= len(one.stored()) <= 6


def test_while_only_other_tables_change_it_stores_seldom(bench: Callable[..., Bench]) -> None:
    """A source that moves on without documents is checkpointed once an idle interval."""
    one = bench()
    one.offer(2)
    assert wait_until(lambda: one.checkpointer.stored == 2, 1)
    until, position = time.monotonic() + 0.8 * IDLE, 2
    while time.monotonic() < until:
        position += 1
        one.offer(position)
        time.sleep(0.01)
    assert one.stored() == [2]
    assert wait_until(lambda: one.checkpointer.stored == position, IDLE)


def test_an_urgent_offer_is_stored_at_once(bench: Callable[..., Bench]) -> None:
    """A source that shuts down waits for nothing."""
    one = bench()
    one.offer(2, 1)
    assert wait_until(lambda: one.checkpointer.stored == 2, 1)
    one.offer(3, 2)
    one.offer(3, 2, urgent=True)
    assert wait_until(lambda: one.checkpointer.stored == 3, 0.2)


def test_a_position_never_goes_back(bench: Callable[..., Bench]) -> None:
    """A late offer of less is no offer."""
    one = bench()
    for position in (9, 4, 9, 2):
        one.offer(position, position, urgent=True)
    assert wait_until(lambda: one.checkpointer.stored == 9, 1)
    time.sleep(0.05)
    assert one.stored() == [9]


@pytest.mark.usefixtures("no_backoff")
def test_a_store_that_fails_is_tried_again_and_not_told_before(
    bench: Callable[..., Bench],
) -> None:
    """`stored` is what the sink has, never what it was asked to keep."""
    one = bench(Trouble(seed=2, store=0.9))
    one.offer(5)
    assert wait_until(lambda: one.checkpointer.stored == 5, 5)
    assert one.stored() == [5]


def test_a_failure_for_a_person_ends_it(bench: Callable[..., Bench]) -> None:
    """And `stored` stays where it was."""
    one = bench()

    def refuse(_: Checkpoint) -> None:
        raise SinkError("no right")

    one.sink.checkpoints.store = refuse  # type: ignore[method-assign,assignment]  # fails
    one.offer(5)
    assert wait_until(lambda: bool(one.failures), 1)
    assert one.checkpointer.stored == 1


def test_a_checkpoint_names_what_rows_may_not_show_yet(bench: Callable[..., Bench]) -> None:
    """As of its own position; also where only a load is noted."""
    one = bench()
    numbers = {3, 2, 9}
    one.checkpointer.unseen = lambda position: [xid for xid in numbers if xid < position]
    one.offer(5)
    assert wait_until(lambda: one.checkpointer.stored == 5, 1)
    assert [*one.sink.checkpoints.stored["pipe"].unseen] == [2, 3]
    numbers |= {1}
    one.checkpointer.note((Load("public.hotels", ("hotels",)),))
    assert wait_until(lambda: one.checkpointer.is_current, 5)
    assert [*one.sink.checkpoints.stored["pipe"].unseen] == [1, 2, 3]
