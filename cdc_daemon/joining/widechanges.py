"""Changes that very many documents show: worked off in pieces, behind what the stream brings.

Documents of a piece for which there is no room wait here, no more than those of one piece: the
stream goes on meanwhile, and they are assembled as they are when there is.
"""

from __future__ import annotations

import time
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.assembly import JoinedProjections
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Position
    from cdc_daemon.joining.sending import Sending

SLICE_SECONDS: Final = 0.005
"""Between two looks at the stream: an ordinary change waits no longer for a wide one."""


class WideChanges:
    """Of one pipeline. The reader calls it."""

    def __init__(
        self,
        projections: JoinedProjections,
        sending: Sending,
        delivery: Delivery,
        indices: Mapping[str, str],
    ) -> None:
        """`indices` by the names of the projections."""
        self._projections = projections
        self._indices = indices
        self._sending = sending
        self._delivery = delivery
        self._began: deque[tuple[Position, Position]] = deque()
        """Position of a batch that left some open, and where the commit before the batch ends."""
        self._piece: Mapping[str, Position] = MappingProxyType({})
        """The projections that documents of the last piece are of, each with the oldest change that
        these may not show: as `wide_open` had it."""

    def look(self, position: Position) -> None:
        """A batch that ends at `position` was applied, and isn't received yet; or nothing was.

        What is open bounds what is durable from now on.
        """
        progress = self._delivery.progress
        open_ = self._open()
        if not open_:
            self._began.clear()
            progress.incomplete = MappingProxyType({})
            return
        if not self._began or self._began[-1][0] < position:
            self._began.append((position, progress.received))
        oldest = min(open_.values())
        while len(self._began) > 1 and self._began[0][0] < oldest:
            self._began.popleft()
        progress.incomplete = MappingProxyType(
            {self._indices[name]: self._before(position) for name, position in open_.items()}
        )

    def _open(self) -> Mapping[str, Position]:
        """What isn't on its way yet of each projection, with the oldest change that it may show."""
        open_ = self._projections.wide_open()
        if not self._sending.has_aside:
            return open_
        waiting = self._piece.items()
        return {**open_, **{name: min(at, open_.get(name, at)) for name, at in waiting}}

    def _before(self, oldest: Position) -> Position:
        """Where the commit before the batch ends that this change came with."""
        came_with = (after for end, after in self._began if end >= oldest)
        return next(came_with, self._began[-1][1])

    def step(self, position: Position) -> bool:
        """Go on for a moment; whether there is more that needn't wait."""
        until = time.monotonic() + SLICE_SECONDS
        while self._may_go_on():
            if not self._sending.has_aside:
                self._take_piece()
            self._sending.send_aside()
            self.look(position)
            if time.monotonic() >= until:
                return self._may_go_on()
        return False

    @property
    def works(self) -> bool:
        """Whether any document isn't on its way yet."""
        return self._sending.has_aside or bool(self._projections.wide_open())

    def _may_go_on(self) -> bool:
        return self.works and self._delivery.dispatcher.has_room_aside

    def _take_piece(self) -> None:
        oldest = self._projections.wide_open()
        found = self._projections.fan_out()
        self._piece = {one.projection: oldest[one.projection] for one in found}
        self._sending.add_aside(found)
