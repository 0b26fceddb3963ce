"""Those who wait for a document: it is asked once what it waits for has come, and not before."""

from __future__ import annotations

from functools import partial

import pytest

from cdc_daemon.consistency.hindered import Hindrance
from cdc_daemon.consistency.waiting import What
from cdc_daemon.errors import SinkError
from tests.generators.waiting_room import Room


def test_a_document_is_looked_at_once_its_position_is_received(room: Room) -> None:
    """Whatever the read model is waiting for."""
    waiter = room.wait(10, what=What("one", b'"a"'))
    document = room.pipeline.documents[b'"a"']
    document.shown = True
    room.waiters.look()
    assert (document.asked, waiter.reached) == (0, False)
    document.shown = False
    room.pipeline.reach(10, 3, 3)
    room.waiters.look()
    assert (document.asked, waiter.reached) == (1, False)
    document.shown = True
    room.waiters.look()
    assert waiter.reached
    assert room.woken == [waiter]


def test_looking_asks_no_document_that_still_waits_for_the_same() -> None:
    """A thousand wait for one sink, or one refresh, while all else goes on: they cost a question
    for each thing that they wait for, and not one each.
    """  # noqa: D205 - one sentence
    room = Room(most=1000)
    lanes = {"a": 1, "b": 1}
    documents = room.pipeline.documents
    waits = []
    for number in range(1000):
        name = f'"{number}"'.encode()
        waits.append(room.wait(10, what=What(("one", "two")[number % 2], name)))
        lane = "ab"[number % 2]
        documents[name].waits_for = Hindrance(
            lane,
            2 + number // 500,
            lambda lane=lane: lanes[lane],  # type: ignore[misc]  # bound
        )
    for position in range(10, 210):
        room.pipeline.reach(position, 3, 3)
        room.waiters.look()
    assert sum(one.asked for one in documents.values()) == 1000
    for one in documents.values():
        one.shown = True
    room.waiters.look()
    assert room.woken == []
    room.waiters.forget(waits[0])
    lanes["a"] = 2
    room.waiters.look()
    assert room.woken == waits[2:500:2]
    lanes["a"] = lanes["b"] = 3
    room.waiters.look()
    assert set(room.woken) == set(waits[1:])
    assert sum(one.asked for one in documents.values()) == 1999
    assert len(room.waiters) == 0


def test_a_document_may_wait_for_one_thing_after_the_other(room: Room) -> None:
    """For a request, then for a refresh, and then for what nobody knows."""
    done = {"lane": 1, "refresh": 1}
    waiter = room.wait(10, what=What("one", b'"a"'))
    document = room.pipeline.documents[b'"a"']

    def asked_after(**now: int) -> int:
        before = document.asked
        done.update(now)
        room.waiters.look()
        return document.asked - before

    document.waits_for = Hindrance("lane", 2, lambda: done["lane"])
    room.pipeline.reach(10, 3, 3)
    assert [asked_after(), asked_after(), asked_after(refresh=5)] == [1, 0, 0]
    document.waits_for = Hindrance("refresh", 7, lambda: done["refresh"])
    assert [asked_after(lane=2), asked_after(lane=9), asked_after(refresh=6)] == [1, 0, 0]
    document.waits_for = None
    assert [asked_after(refresh=8), asked_after(), asked_after()] == [1, 1, 1]
    document.shown = True
    assert (asked_after(), room.woken) == (1, [waiter])


def test_a_question_that_fails_loses_nobody() -> None:
    """Whoever was looked at, or would have been next, is asked once more, and found."""
    room = Room()
    lanes = {"a": 1, "b": 1}
    documents = room.pipeline.documents
    waits = [room.wait(10, what=What("one", f'"{number}"'.encode())) for number in range(6)]
    fails = [True]

    def now(lane: str) -> int:
        if fails[0] and lane == "b" and lanes["a"] > 1:
            raise SinkError("the sink is being changed")
        return lanes[lane]

    for number, document in enumerate(documents.values()):
        lane = "ab"[number % 2]
        document.waits_for = Hindrance(lane, 2, partial(now, lane))
    room.pipeline.reach(10, 3, 3)
    room.waiters.look()
    lanes["a"] = 2
    for document in documents.values():
        document.shown = True
    with pytest.raises(SinkError):
        room.waiters.look()
    fails[0] = False
    room.waiters.look()
    assert set(room.woken) == set(waits[::2])
    lanes["b"] = 2
    broken = documents[b'"3"']
    broken.fails = True
    with pytest.raises(SinkError):
        room.waiters.look()
    broken.fails = False
    room.waiters.look()
    assert set(room.woken) == set(waits)
    assert len(room.waiters) == 0
