"""Those who wait: woken by what reaches their position, together, never too soon nor too late."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.consistency.logend import LogEnd
from cdc_daemon.consistency.waiters import NobodyServesError, TooManyError
from cdc_daemon.consistency.waiting import Waiter, What, position_of, reason
from cdc_daemon.consistency.waitqueue import FEW, WaitQueue
from cdc_daemon.errors import ForeignTokenError, FutureTokenError, RetryError, TokenError
from cdc_daemon.events import Position
from tests.generators.conditions import wait_until
from tests.generators.scripted_source import MemoryClock, MemoryTokens
from tests.generators.waiting_room import FakePipeline, Room

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_all_whom_a_position_has_reached_are_woken_together(room: Room) -> None:
    """Those of all read models, and of each; by one call; the others wait on."""
    everything = [room.wait(at) for at in (10, 10, 20)]
    first = [room.wait(at, what=What("one")) for at in (10, 30)]
    second = room.wait(10, what=What("two"))
    assert room.pipeline.hurried[-1] == (10, ["two"])
    assert room.pipeline.hurried[0] == (10, None)
    room.waiters.look()
    assert room.calls == []
    room.pipeline.reach(30, 20, 9)
    room.waiters.look()
    assert room.woken == [first[0]]
    room.pipeline.reach(30, 20, 10)
    room.waiters.look()
    assert len(room.calls) == 2
    assert set(room.calls[1]) == {*everything[:2], second}
    assert all(waiter.reached for waiter in room.woken)
    assert len(room.waiters) == 2


def test_what_is_reached_already_is_not_waited_for(room: Room) -> None:
    """Nor is nothing: without a token."""
    room.pipeline.reach(10, 10, 10)
    assert room.wait(10).reached
    assert room.wait().reached
    assert room.wait(5, 10).reached
    assert not room.wait(5, 11).reached
    assert len(room.waiters) == 1


def test_a_read_model_that_nobody_searches_is_not_reached(room: Room) -> None:
    """Before its rows are there; all read models together don't wait for it."""
    room.pipeline.reach(10, 10, 10)
    room.pipeline.progress.unpublished = frozenset({"i1"})
    one = room.wait(5, what=What("one"))
    assert not one.reached
    assert "loaded" in reason(room.pipeline, Position(5), "one")
    assert room.wait(5, what=What("two")).reached
    assert room.wait(5).reached
    room.pipeline.progress.unpublished = frozenset({"i1", "i2"})
    assert not room.wait(5).reached
    room.pipeline.progress.unpublished = frozenset()
    room.waiters.look()
    assert one.reached
    assert len(room.waiters) == 0


def test_a_read_model_whose_rows_are_read_again_is_not_reached(room: Room) -> None:
    """Changes may be left to that load; and all read models together are not reached either."""
    room.pipeline.reach(10, 10, 10)
    room.pipeline.progress.reread = frozenset({"i1"})
    waits = [room.wait(5), room.wait(5, what=What("one")), room.wait(5, what=What("one", b'"a"'))]
    assert room.wait(5, what=What("two")).reached
    assert not any(waiter.reached for waiter in waits)
    for projection in (None, "one"):
        assert "has changed" in reason(room.pipeline, Position(5), projection)
    room.pipeline.progress.reread = frozenset()
    room.pipeline.documents[b'"a"'].shown = True
    room.waiters.look()
    assert all(waiter.reached for waiter in waits)


@pytest.mark.parametrize("document_id", [None, b'"a"'])
def test_who_was_refused_at_a_start_takes_no_other_place(
    room: Room, document_id: bytes | None
) -> None:
    """Those who wait on have other places in the next pipeline's queues."""
    what = What("one", document_id)
    lost, good = room.wait("e:10", what=what), room.wait(10, what=what)
    other = FakePipeline()
    room.waiters.follow(other, MemoryTokens("f"))
    assert room.woken == [lost]
    room.waiters.forget(lost)
    other.reach(10, 10, 10)
    if document_id is not None:
        other.documents[document_id].shown = True
    room.waiters.look()
    assert good.reached


def test_who_leaves_is_forgotten(room: Room) -> None:
    """And nobody else with them; leaving twice is quiet."""
    there = [room.wait(10), room.wait(10, what=What("one", b'"a"'))]
    left = [room.wait(10), room.wait(10, what=What("one", b'"b"')), room.wait(9)]
    for waiter in (*left, *left):
        room.waiters.forget(waiter)
    room.pipeline.documents[b'"a"'].shown = True
    room.pipeline.reach(10, 10, 10)
    room.waiters.look()
    assert set(room.woken) == set(there)
    assert room.pipeline.documents[b'"b"'].asked == 0
    assert room.pipeline.hurried == [(10, None), (10, ["one"])]


def test_no_more_wait_than_may() -> None:
    """Another one is refused, until somebody leaves."""
    room = Room(most=2)
    first, _ = room.wait(10), room.wait(10)
    with pytest.raises(TooManyError, match="max_waiters"):
        room.wait(10)
    room.waiters.forget(first)
    room.wait(10)


def test_a_token_that_is_refused_waits_for_nothing(room: Room) -> None:
    """One of several is enough."""
    for token, error in (("x", TokenError), ("other:5", ForeignTokenError)):
        with pytest.raises(error):
            room.wait(5, token)
    assert len(room.waiters) == 0


def test_what_lies_beyond_the_end_of_the_log_is_refused(room: Room) -> None:
    """Not who came after the log's end was asked for: that may have been before their commit."""
    before = [room.wait(at) for at in (10, 11, 12)]
    asked = time.monotonic()
    after = room.wait(12)
    room.waiters.ends_at(Position(11), asked)
    assert room.woken == [before[2]]
    assert isinstance(before[2].refused, FutureTokenError)
    assert not before[2].reached
    assert room.pipeline.hurried == [(10, None), (11, None), (12, None)]
    assert not after.refused


def test_those_who_wait_outlive_a_start_in_place(room: Room) -> None:
    """They wait on the next pipeline; in another history their tokens are read anew."""
    waits = [room.wait(10), room.wait("e:10"), room.wait(10, what=What("one", b'"a"'))]
    other = FakePipeline()
    other.reach(10, 9, 9)
    room.waiters.follow(other, MemoryTokens("f"))
    assert room.woken == [waits[1]]
    assert isinstance(waits[1].refused, ForeignTokenError)
    assert [position for position, _ in other.hurried] == [10, 10]
    assert room.waiters.epoch == "f"
    room.pipeline.reach(20, 20, 20)
    room.waiters.look()
    assert len(room.woken) == 1
    other.documents[b'"a"'].shown = True
    other.reach(10, 10, 10)
    room.waiters.look()
    assert set(room.woken) == set(waits)


def test_a_stop_wakes_everybody(room: Room) -> None:
    """And nobody is let in any more."""
    waits = [room.wait(10), room.wait(10, what=What("one", b'"a"')), room.wait(5)]
    room.waiters.stop()
    assert len(room.calls) == 1
    assert set(room.woken) == set(waits)
    assert all(isinstance(waiter.refused, NobodyServesError) for waiter in waits)
    with pytest.raises(NobodyServesError):
        room.wait(1)
    assert room.waiters.epoch is None
    room.waiters.look()
    room.waiters.stop()


def come_and_go(room: Room, seed: int, late: list[Waiter]) -> None:
    """A client that waits, again and again; sometimes it gives up."""
    chance = random.Random(seed)
    for _ in range(300):
        at = room.pipeline.progress.received + chance.randrange(-3, 30)
        waiter = room.wait(max(0, at), what=What(chance.choice((None, "one", "two"))))
        if chance.random() < 0.2:
            room.waiters.forget(waiter)
        elif not wait_until(lambda waiter=waiter: waiter.reached, 60):  # type: ignore[misc]  # bound
            late.append(waiter)


def test_nobody_is_forgotten_or_woken_too_soon(room: Room) -> None:
    """While positions move in one thread, and clients come and go in others."""
    over = threading.Event()
    late: list[Waiter] = []
    early: list[Waiter] = []

    def check(woken: Sequence[Waiter]) -> None:
        reached = {name: position_of(room.pipeline, name) for name in (None, "one", "two")}
        early.extend(one for one in woken if reached[one.what.projection] < one.position)

    def move() -> None:
        position = 0
        while not over.is_set():
            position += 1
            room.pipeline.reach(position, max(0, position - 2), max(0, position - 1))
            room.waiters.look()

    room.waiters.wake = check
    mover = threading.Thread(target=move)
    clients = [threading.Thread(target=come_and_go, args=[room, n, late]) for n in range(4)]
    for thread in (mover, *clients):
        thread.start()
    for thread in clients:
        thread.join()
    over.set()
    mover.join()
    assert (late, early) == ([], [])
    assert len(room.waiters) == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"received": Position(4)}, "not received"),
        ({"unfilled": Position(4)}, "left out"),
        ({"incomplete": {"i1": Position(4)}}, "very many documents"),
        ({"written": Position(4)}, "waits for the sink"),
        ({}, "not refreshed"),
    ],
)
def test_a_wait_says_what_it_waits_for(room: Room, changes: dict[str, object], why: str) -> None:
    """The first of what has to come."""
    progress = room.pipeline.progress
    progress.received = progress.written = Position(5)
    for name, value in changes.items():
        setattr(progress, name, value)
    assert why in reason(room.pipeline, Position(5), None)
    assert why in reason(room.pipeline, Position(5), "one")
    if "incomplete" in changes:
        assert why not in reason(room.pipeline, Position(5), "two")


def test_a_queue_of_those_who_have_left_stays_small() -> None:
    """However long nothing is reached, and however many come and go meanwhile."""
    queue: WaitQueue[int] = WaitQueue()
    stays = queue.put(Position(5), -1)
    for number in range(10_000):
        queue.leave(queue.put(Position(number), number))
    assert len(queue) == 1
    assert len(queue._heap) <= 2 + FEW + 1
    assert queue.take(Position(4)) == []
    assert queue.take(Position(5)) == [-1]
    queue.leave(stays)
    assert (len(queue), queue.nearest) == (0, None)


def test_the_end_of_the_log_is_asked_for_once_for_all() -> None:
    """And again, with a pause, while the source can't be asked; the connection is closed."""
    clock = MemoryClock()
    clock.position = Position(7)
    found: list[tuple[Position, float]] = []
    log_end = LogEnd(clock, lambda end, asked: found.append((end, asked)))
    clock.failure = RetryError("away")
    log_end.start()
    log_end.look(Position(9))
    time.sleep(0.1)
    assert found == []
    clock.failure = None
    assert wait_until(lambda: len(found) == 1, 60)
    assert found[0][0] == 7
    log_end.stop()
    log_end.join(60)
    assert clock.closed
