"""Who waits for a document, by what has to come first: asked again once that has come. Pure.

A thousand wait for what one sink holds, and the others go on: whoever looks hundreds of times a
second then asks what they wait for, and not each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon.consistency.waitqueue import WaitQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from cdc_daemon.consistency.waiting import Waiter


class Hindrance(NamedTuple):
    """What a document waits for just now: that a number has grown so far."""

    of: Hashable
    """Whose number it is: those who wait for the same are asked by one question."""
    number: int
    now: Callable[[], int]
    """What it has grown to."""


class _Queue(NamedTuple):
    """Those who wait for one number."""

    now: Callable[[], int]
    waiters: WaitQueue[Waiter]


class Hindered:
    """Those of one read model whose position is received. Its owner holds a lock."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, _Queue] = {}
        self._asked: dict[Waiter, None] = {}
        """Of whom nobody knows what they wait for: they are asked each time."""
        self._places: dict[Waiter, tuple[WaitQueue[Waiter], int]] = {}

    def __len__(self) -> int:
        return len(self._asked) + len(self._places)

    def add(self, waiter: Waiter) -> None:
        """One more."""
        self._asked[waiter] = None

    def leave(self, waiter: Waiter) -> None:
        """They wait no longer. Quiet if they have been taken."""
        self._asked.pop(waiter, None)
        if (place := self._places.pop(waiter, None)) is not None:
            queue, number = place
            queue.leave(number)

    def take_shown(self) -> Iterator[Waiter]:
        """Those whose document searches show: they are here no longer.

        Where a question fails, whoever hasn't been given stays, to be asked once more.
        """
        self._ask_due()
        for waiter in list(self._asked):
            document = waiter.document
            if document is None or document.is_shown():
                self._asked.pop(waiter, None)
                yield waiter
            else:
                self._put(waiter)

    def _ask_due(self) -> None:
        """Of those for whom something may have come nobody knows what they wait for."""
        for of, queue in list(self._queues.items()):
            nearest = queue.waiters.nearest
            if nearest is None:
                del self._queues[of]
            elif nearest <= (now := queue.now()):
                for waiter in queue.waiters.take(now):
                    self._places.pop(waiter, None)
                    self._asked[waiter] = None

    def _put(self, waiter: Waiter) -> None:
        """What it waits for is known, unless nobody can say."""
        hindrance = waiter.document.hindrance() if waiter.document else None
        if hindrance is None:
            return
        queue = self._queues.get(hindrance.of)
        if queue is None:
            queue = self._queues[hindrance.of] = _Queue(hindrance.now, WaitQueue())
        self._asked.pop(waiter, None)
        self._places[waiter] = (queue.waiters, queue.waiters.put(hindrance.number, waiter))
