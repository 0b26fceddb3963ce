"""The refreshers of each sink: one that is away keeps nothing of the others from being shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cdc_daemon.delivery.refresher import Refresher


class Refreshers:
    """One for every sink of a pipeline, in most pipelines the only one. Any thread calls it."""

    def __init__(
        self, places: Mapping[str, str], make: Callable[[str, frozenset[str]], Refresher]
    ) -> None:
        """`places` says of each index which sink it is in."""
        self._by_place = {
            place: make(place, frozenset(index for index in places if places[index] == place))
            for place in sorted(set(places.values()))
        }
        self._of = {index: self._by_place[place] for index, place in places.items()}

    def __iter__(self) -> Iterator[Refresher]:
        return iter(self._by_place.values())

    def wake(self) -> None:
        """Something was written, nobody says where."""
        for refresher in self:
            refresher.wake()

    def show(self, index: str) -> None:
        """Somebody waits for what is in the index already."""
        self._of[index].show(index)

    def finish(self) -> None:
        """Refresh what is dirty without waiting for freshness, from now on."""
        for refresher in self:
            refresher.finish()

    def close(self) -> None:
        """Make the threads end."""
        for refresher in self:
            refresher.close()
