"""Versions that fall: those of another server, whose log is a history of its own. Pure.

What it says is taken for older than what is there, for good, and nothing would show it. A connector
that sends things again sends what was committed before; what is new was committed later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

    from connectors.messages.message import Said

FAR_BYTES: Final = 1 << 30
"""Of the log: a long transaction may have written so much before what was committed before it."""
ENOUGH: Final = 2
"""Transactions in a row. What one says of the commit before it may be old, where its connector has
just started; and where we have, it may be the rest of a transaction that was begun to be read."""

WHY: Final = (
    "what was committed later has a lower place in the log: another server is behind the "
    "connector, and what it sends is taken for older than what is there"
)
"""What is said of it."""

PlaceType = TypeVar("PlaceType", bound="Hashable")


class Falls(Generic[PlaceType]):
    """Of one source."""

    def __init__(self) -> None:
        self._latest: dict[PlaceType, float] = {}
        """When the last of each place was committed."""
        self._behind: dict[PlaceType, int] = {}
        """How many transactions in a row came after a commit that is older than what was read."""
        self._told: set[PlaceType] = set()
        self.total = 0
        """Messages of which the version has fallen."""

    def look(self, place: PlaceType, said: Said, newest: int) -> bool:
        """Whether it is the first of its place that has fallen; `newest`: of those before it."""
        latest = self._latest.get(place, 0.0)
        self._latest[place] = max(latest, said.time)
        if not said.lsn or said.time <= latest:
            return False
        if said.commit_before:
            is_behind = said.commit_before < newest
            self._behind[place] = self._behind.get(place, 0) + 1 if is_behind else 0
        if said.lsn >= newest - FAR_BYTES and self._behind.get(place, 0) < ENOUGH:
            return False
        self.total += 1
        is_first = place not in self._told
        self._told.add(place)
        return is_first
