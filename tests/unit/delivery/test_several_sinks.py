"""Delivery into two sinks: one that is away, or doesn't answer, leaves the other alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cdc_daemon.errors import RetryError
from cdc_daemon.events import DocumentOperation, Position
from tests.generators.conditions import wait_until
from tests.generators.memory_sink import MemorySink, MemoryWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.ports import WriteResult
    from tests.unit.delivery.conftest import Running

HOTELS, ROOMS = "index of hotels", "index of rooms"


def test_a_sink_that_is_away_does_not_stop_another(deliver: Callable[..., Running]) -> None:
    """Each has lanes of its own; what is confirmed goes by the slower one."""
    sink = Divided({ROOMS: "away"})
    running = deliver(sink)
    for at, index in ((2, ROOMS), (3, HOTELS)):
        contents = [(b'"1"', b"{}")]
        running.delivery.dispatcher.send(index, Position(at), contents, after=Position(at - 1))
        running.delivery.progress.received = Position(at)
        running.delivery.dispatcher.release()
    progress = running.delivery.progress
    assert wait_until(lambda: progress.durable_of([HOTELS]) == 3)
    assert progress.durable() == progress.durable_of([ROOMS]) == 1
    sink.is_back.set()
    assert wait_until(lambda: progress.durable() == 3)


def test_what_another_sink_does_not_show_keeps_nothing_hidden(
    deliver: Callable[..., Running],
) -> None:
    """The refresh of one hangs, and those of the other go on."""
    sink = Hanging({ROOMS: "other"})
    try:
        running = deliver(sink)
        contents = [(b'"1"', b"{}")]
        running.delivery.dispatcher.send(HOTELS, Position(2), contents, after=Position(1))
        running.delivery.progress.received = Position(2)
        running.delivery.dispatcher.release()
        progress = running.delivery.progress
        assert wait_until(lambda: progress.searchable_of([HOTELS]) == 2)
        assert progress.searchable() == progress.searchable_of([ROOMS]) == 0
    finally:
        sink.is_back.set()
    assert wait_until(lambda: progress.searchable() == 2)


class Divided(MemorySink):
    """Two sinks, as one: the other place is away until it is back."""

    def __init__(self, places: dict[str, str]) -> None:
        super().__init__()
        self.places = places
        self.is_back = threading.Event()

    def writer(self, place: str = "") -> MemoryWriter:
        """One that waits where its sink is away."""
        return Waiting(self) if place else super().writer()


class Hanging(Divided):
    """The other place takes what is written, and doesn't answer who asks it to show that."""

    def writer(self, place: str = "") -> MemoryWriter:  # noqa: ARG002 - both alike
        """Of either."""
        return MemoryWriter(self)

    def refresh(self, indices: Sequence[str]) -> None:
        """Not before it is back."""
        if any(self.place(index) for index in indices):
            self.is_back.wait()
        super().refresh(indices)


class Waiting(MemoryWriter):
    """Of the sink that is away."""

    def __init__(self, sink: Divided) -> None:
        super().__init__(sink)
        self._is_back = sink.is_back

    def write(self, operations: Sequence[DocumentOperation]) -> WriteResult:
        """Once it is back."""
        if not self._is_back.is_set():
            raise RetryError("it is away")
        return super().write(operations)
