"""How far each of several sinks is, and which of them holds the others' positions back. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cdc_daemon.consistency.delays import Delays
    from cdc_daemon.delivery.lanegroups import LaneGroups
    from cdc_daemon.delivery.progress import Progress
    from cdc_daemon.events import Position

ONLY: Final = ""
"""The place of all indices where the pipeline has one sink."""


class SinkReport(NamedTuple):
    """What is known of one sink at one moment."""

    name: str
    read_models: Sequence[str]
    positions: Mapping[str, Position]
    """By stage: it has everything up to here, of what belongs in it."""
    holds_back: Collection[str]
    """The stages in which it has least, and another one more: what is confirmed to the source, and
    what clients wait for without naming a read model, comes no further than this."""
    delays: Mapping[str, float]
    """By stage, in seconds, of its read model that is furthest behind; not before one is known."""
    queue_bytes: int


class EachSink:
    """Those of one pipeline. Any thread calls it."""

    def __init__(
        self,
        places: Mapping[str, str],
        names: Mapping[str, str],
        progress: Progress,
        lanes: Sequence[LaneGroups],
        delays: Delays,
    ) -> None:
        """By index: `places` says which sink it is in, `names` which read model it is of."""
        self._indices: dict[str, list[str]] = defaultdict(list)
        for index, place in places.items():
            if place != ONLY:
                self._indices[place].append(index)
        self._names = dict(names)
        self._progress = progress
        self._lanes = lanes
        self._delays = delays

    def reports(self) -> list[SinkReport]:
        """Of each, by name; empty where there is one, of which all else tells."""
        reached = {name: self._positions(name) for name in sorted(self._indices)}
        delays = self._known_delays()
        return [
            SinkReport(
                name,
                sorted(self._names[index] for index in self._indices[name]),
                positions,
                [stage for stage in positions if _is_last(name, stage, reached)],
                delays[name],
                sum(lanes.size_bytes_of(name) for lanes in self._lanes),
            )
            for name, positions in reached.items()
        ]

    def _positions(self, name: str) -> dict[str, Position]:
        indices = self._indices[name]
        # The lower one first: what becomes durable in between is not searchable for certain.
        searchable = self._progress.searchable_of(indices)
        return {"indexed": self._progress.durable_of(indices), "searchable": searchable}

    def _known_delays(self) -> dict[str, dict[str, float]]:
        place_of = {
            self._names[index]: place for place, all_ in self._indices.items() for index in all_
        }
        found: dict[str, dict[str, float]] = {place: {} for place in self._indices}
        for reading in self._delays.readings():
            place = place_of.get(reading.projection)
            if place is not None and reading.delay is not None:
                here = found[place]
                here[reading.stage] = max(reading.delay, here.get(reading.stage, 0.0))
        return found


def _is_last(name: str, stage: str, reached: Mapping[str, Mapping[str, Position]]) -> bool:
    """Whether nobody has less than this one in a stage, and somebody more."""
    mine, all_ = reached[name][stage], [positions[stage] for positions in reached.values()]
    return mine == min(all_) < max(all_)
