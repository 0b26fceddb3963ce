"""What somebody waits for doesn't wait for anything else; and who waits is woken."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.delivery.progress import Progress
from cdc_daemon.events import NOWHERE, Position
from tests.generators.conditions import wait_until
from tests.generators.memory_sink import MemorySink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cdc_daemon.delivery.delivery import Delivery
    from tests.unit.delivery.conftest import Running

HOTELS, ROOMS = "index of hotels", "index of rooms"


def _commit(delivery: Delivery, position: int, index: str = HOTELS) -> None:
    """A transaction is read; nothing is handed over yet."""
    contents = [(b'"%d"' % position, b"{}")]
    after = delivery.progress.received
    delivery.dispatcher.send(index, Position(position), contents, after=after)
    delivery.progress.received = Position(position)


def _refreshes(sink: MemorySink) -> int:
    return [what for what, _ in sink.said].count("refresh")


@pytest.mark.parametrize("projections", [None, ["hotels"]])
def test_what_somebody_waits_for_needs_one_request_and_one_refresh(
    deliver: Callable[..., Running], projections: list[str] | None
) -> None:
    """However seldom the index is to be refreshed, and though nobody has handed the batch over."""
    running = deliver(MemorySink(), freshness=3600.0)
    delivery = running.delivery
    assert wait_until(lambda: delivery.progress.searchable() == 1)
    for position in (10, 20):
        before = _refreshes(running.sink)
        _commit(delivery, position)
        delivery.hurry(Position(position), projections)
        assert wait_until(lambda: delivery.progress.searchable_of([HOTELS]) == position)  # noqa: B023 - waited for here
        assert _refreshes(running.sink) == before + 1


def test_what_is_read_after_somebody_waits_for_it_is_handed_over(
    deliver: Callable[..., Running],
) -> None:
    """The reader asks, and is told once."""
    delivery = deliver(MemorySink(), freshness=3600.0).delivery
    assert wait_until(lambda: delivery.progress.searchable() == 1)
    delivery.hurry(Position(10))
    assert not delivery.take_awaited()
    _commit(delivery, 10)
    assert delivery.take_awaited()
    assert not delivery.take_awaited()
    delivery.dispatcher.release()
    assert wait_until(lambda: delivery.progress.searchable() == 10)


def test_another_read_model_is_refreshed_as_before(deliver: Callable[..., Running]) -> None:
    """Nobody waits for it."""
    delivery = deliver(MemorySink(), freshness=3600.0).delivery
    assert wait_until(lambda: delivery.progress.searchable() == 1)
    _commit(delivery, 10, ROOMS)
    delivery.hurry(Position(10), ["hotels"])
    assert wait_until(lambda: delivery.progress.durable() == 10)
    assert delivery.progress.searchable_of([HOTELS]) == 10
    time.sleep(0.1)
    assert delivery.progress.searchable_of([ROOMS]) == delivery.progress.searchable() == 1
    delivery.hurry(Position(10))
    assert wait_until(lambda: delivery.progress.searchable() == 10)


def test_a_document_that_somebody_waits_for_is_refreshed(deliver: Callable[..., Running]) -> None:
    """As soon as it is durable; and whoever waits hears that something has moved."""
    delivery = deliver(MemorySink(), freshness=3600.0).delivery
    assert wait_until(lambda: delivery.progress.searchable() == 1)
    document = delivery.awaited_document("hotels", b'"10"', Position(10))
    shown = threading.Event()
    delivery.moved = lambda: shown.set() if document.is_shown() else None
    _commit(delivery, 10)
    delivery.dispatcher.release()
    assert shown.wait(60)


@pytest.mark.parametrize("is_awaited_first", [True, False])
def test_what_others_have_written_is_shown_by_our_refresh(
    deliver: Callable[..., Running],
    is_awaited_first: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """However seldom they refresh it; whether somebody waits before they tell of it, or later."""
    delivery = deliver(MemorySink(), freshness=3600.0).delivery
    progress = delivery.progress
    delivery.owns = lambda _: False
    assert wait_until(lambda: not progress.hidden(), 60)  # refreshed when nobody knew of others
    delivery.others_came_to(Position(1), Position(1))
    assert wait_until(lambda: progress.searchable() == 1, 60)
    progress.received = Position(10)
    document = delivery.awaited_document("hotels", b'"10"', Position(10))
    if is_awaited_first:
        delivery.hurry(Position(10))
    delivery.others_came_to(Position(10), Position(1))
    if not is_awaited_first:
        assert progress.searchable() == 1
        assert not document.is_shown()
        delivery.hurry(Position(10))
    assert wait_until(lambda: progress.searchable() == 10, 60)
    assert wait_until(document.is_shown, 60)


def test_who_waits_is_woken_when_the_delay_is_known(deliver: Callable[..., Running]) -> None:
    """Otherwise it would hear that what it waited for is as late as before."""
    running = deliver(MemorySink(), freshness=0)
    delivery = running.delivery
    known: list[tuple[Position, Position]] = []
    delivery.moved = lambda: known.append(
        (delivery.progress.searchable(), delivery.monitor.delays.position("searchable"))
    )
    delivery.dispatcher.send(HOTELS, Position(9), [(b'"1"', b"{}")], after=Position(1))
    delivery.progress.received = Position(9)
    delivery.dispatcher.release()
    assert wait_until(lambda: bool(known) and known[-1][0] == 9, 10)
    first = next(pair for pair in known if pair[0] == 9)
    assert first == (9, 9)


def test_nothing_counts_as_searchable_before_a_start_has_refreshed_it(
    deliver: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even to who looks while it resumes."""
    received: list[int] = []
    real = Progress.unknown

    def look(progress: Progress, indices: Iterable[str]) -> None:
        received.append(progress.received)
        real(progress, indices)

    monkeypatch.setattr(Progress, "unknown", look)
    delivery = deliver(MemorySink()).delivery
    assert received == [NOWHERE]
    assert wait_until(lambda: delivery.progress.searchable() == 1)
