"""Who waits for which position, or another number that grows, the nearest first. Pure."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Generic, TypeVar

FEW: Final = 64
"""So many that have left stay in the queue, whatever its size: it is put in order seldom."""

T = TypeVar("T")


class WaitQueue(Generic[T]):
    """Of one number. Its owner holds a lock."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, T]] = []
        self._there: dict[int, None] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._there)

    @property
    def nearest(self) -> int | None:
        """Nobody waits for less; None where nobody waits."""
        return self._heap[0][0] if self._there else None

    def put(self, position: int, waiter: T) -> int:
        """Somebody waits; by this number they can leave."""
        number = next(self._numbers)
        heappush(self._heap, (position, number, waiter))
        self._there[number] = None
        return number

    def leave(self, number: int) -> None:
        """They wait no longer. Quiet if they have been taken."""
        self._there.pop(number, None)
        if len(self._heap) > 2 * len(self._there) + FEW:
            self._heap = [one for one in self._heap if one[1] in self._there]
            heapify(self._heap)

    def take(self, reached: int) -> list[T]:
        """Those who have waited for this, or less: they are in the queue no longer."""
        taken = []
        while self._heap and self._heap[0][0] <= reached:
            _, number, waiter = heappop(self._heap)
            if number in self._there:
                del self._there[number]
                taken.append(waiter)
        return taken
