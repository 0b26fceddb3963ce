"""The lanes of each sink: one that is away fills its own, and those of the others go on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cdc_daemon.delivery.lanes import Lanes
from cdc_daemon.delivery.yielding import Yielding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cdc_daemon.delivery.lane import Batch, Lane


class LaneGroups:
    """Lanes of every sink of a pipeline, in most pipelines of the only one."""

    def __init__(self, places: Mapping[str, str], make: Callable[[str], Lanes]) -> None:
        """`places` says of each index which sink it is in; `make` makes those of one sink."""
        self._groups = {place: make(place) for place in sorted(set(places.values()))}
        self._of = {index: self._groups[place] for index, place in places.items()}

    def __iter__(self) -> Iterator[Lane]:
        return (lane for lanes in self._groups.values() for lane in lanes)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def of(self, index: str) -> Lanes:
        """Those that carry what is for the index."""
        return self._of[index]

    def with_places(self) -> Iterator[tuple[str, Lane]]:
        """Each lane, and the sink that it leads to."""
        return ((place, lane) for place, lanes in self._groups.items() for lane in lanes)

    @property
    def size_bytes(self) -> int:
        """What all of them hold."""
        return sum(lanes.size_bytes for lanes in self._groups.values())

    @property
    def request_bytes(self) -> int:
        """How large a request is, at most, for the sink that bears least."""
        return min(lanes.request_bytes for lanes in self._groups.values())

    def size_bytes_of(self, place: str) -> int:
        """What those hold that lead to one sink."""
        return self._groups[place].size_bytes

    def busy_in(self, place: str) -> bool:
        """Whether more is waiting for that sink than a request carries."""
        return self._groups[place].busy

    def mark(self) -> tuple[int, ...]:
        """Everything put until now, for `passed`."""
        return tuple(lane.last_number for lane in self)

    def passed(self, mark: tuple[int, ...]) -> bool:
        """Whether everything put before `mark` is durable."""
        return all(lane.done_number >= number for lane, number in zip(self, mark, strict=True))

    def look_again(self) -> None:
        """What a batch was held for may have passed."""
        for lanes in self._groups.values():
            lanes.look_again()


def lane_groups(
    places: Mapping[str, str],
    count: int,
    batch_bytes: int,
    hold_seconds: Callable[[Batch, float], float],
    freshness_seconds: Mapping[str, float],
) -> tuple[LaneGroups, LaneGroups, Mapping[str, Yielding]]:
    """Lanes for changes, so many for each sink, and as many for what yields to them.

    How much of each sink that may take is the third.
    """
    yielding = {
        place: Yielding(batch_bytes, freshness_seconds, time.monotonic) for place in places.values()
    }
    return (
        LaneGroups(places, lambda _: Lanes(count, batch_bytes, hold_seconds)),
        LaneGroups(
            places,
            lambda place: Lanes(count, batch_bytes, yielding[place].hold_seconds, yielding[place]),
        ),
        yielding,
    )
