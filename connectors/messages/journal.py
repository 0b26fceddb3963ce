"""What goes with each position that isn't durable yet: what to say of it once it is. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Position

What = TypeVar("What")


class Journal(Generic[What]):
    """Of one source, in the order of positions. One thread uses it."""

    def __init__(self) -> None:
        self._entries: deque[tuple[Position, What]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, position: Position, what: What) -> None:
        """It goes with this position: the newest."""
        self._entries.append((position, what))

    def durable(self, position: Position) -> Iterator[tuple[Position, What]]:
        """Take out what is durable."""
        while self._entries and self._entries[0][0] <= position:
            yield self._entries.popleft()

    def up_to(self, position: Position) -> Iterator[What]:
        """What came up to there and isn't durable, from the oldest on; forget what came later."""
        while self._entries and self._entries[-1][0] > position:
            self._entries.pop()
        for _, what in self._entries:
            yield what

    def forget(self) -> None:
        """All of it comes again."""
        self._entries.clear()
