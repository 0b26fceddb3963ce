"""Positions that stand for "all that there is by now", given before it has come. Pure.

The delay clock asks how far the source is; what is there by then gets its positions only as it is
read. So a mark gets a position with room below it for all that is to come before.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from cdc_daemon.events import Position
from connectors.messages.numbering import STEP, Numbering

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOM: Final = 10_000
"""Messages that may overtake a mark: what comes after it in one partition, before another is
there. Where more do, it counts as reached a little early."""
MOST_MARKS: Final = 3600
"""An hour of samples. Beyond that the last one stands for those after it."""

PlaceType = TypeVar("PlaceType")


class Mark(NamedTuple, Generic[PlaceType]):
    """Reached once each place is."""

    position: Position
    ends: Mapping[PlaceType, int]


class Marks(Generic[PlaceType]):
    """Of one source. Its owner sees to it that one thread calls it at a time."""

    def __init__(self, numbering: Numbering) -> None:
        self._numbering = numbering
        self._waiting: deque[Mark[PlaceType]] = deque()

    def set(self, ends: Mapping[PlaceType, int], reached: Mapping[PlaceType, int]) -> Position:
        """The position that stands for all up to `ends`; `reached`: how far each is by now."""
        last = self._waiting[-1] if self._waiting else None
        if last is not None and len(self._waiting) >= MOST_MARKS:
            return last.position
        before: Mapping[PlaceType, int] = reached if last is None else last.ends
        missing = sum(max(0, end - before.get(place, 0)) for place, end in ends.items())
        if last is None and not missing:
            return self._numbering.last
        begin = self._numbering.last if last is None else last.position
        mark = Mark(Position(begin + STEP * (missing + ROOM)), dict(ends))
        self._waiting.append(mark)
        return mark.position

    def next(self, now: float) -> Position:
        """The position of what comes now: below the marks that it comes before."""
        if not self._waiting:
            return self._numbering.next(now)
        position = self._numbering.step()
        while self._waiting and self._waiting[0].position <= position:
            self._waiting.popleft()  # more has overtaken it than there was room for
        return position

    def passed(self, reached: Mapping[PlaceType, int]) -> Position | None:
        """The last mark that is reached by now; None where none is."""
        found: Position | None = None
        while self._waiting and _is_reached(self._waiting[0].ends, reached):
            found = self._waiting.popleft().position
        if found is not None:
            self._numbering.last = found
        return found

    def forget(self) -> None:
        """Nobody waits for them any more."""
        self._waiting.clear()


def _is_reached(ends: Mapping[PlaceType, int], reached: Mapping[PlaceType, int]) -> bool:
    """What isn't ours to read is no matter."""
    return all(reached[place] >= end for place, end in ends.items() if place in reached)
