"""What somebody waits for, and whether searches show it by now.

Of one document less is waited for than of a read model: not for a change of a row that very many
documents show, which reaches this one too, but not for others in the queues either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.consistency.hindered import Hindrance
from cdc_daemon.events import BEYOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cdc_daemon.delivery.lane import Lane
    from cdc_daemon.delivery.progress import Progress
    from cdc_daemon.events import Position


class AwaitedDocument:
    """One document, until searches show what was committed of it up to a position.

    Asked again and again, by one thread at a time.
    """

    def __init__(
        self,
        name: tuple[str, bytes | None],
        position: Position,
        *,
        progress: Progress,
        lanes: Iterable[Lane],
        show: Callable[[str], None],
        is_ours: bool = True,
    ) -> None:
        """`name`: index and document id; without an id any of the index counts as this one.

        `show` is called once when it is in the index, and only a refresh lacks. Where another
        replica may write it (`is_ours`), that one says how far it is.
        """
        self._index, self._id = name
        self._position = position
        self._progress = progress
        self._lanes = lanes
        self._show = show
        self._is_ours = is_ours
        self._pending: Sequence[tuple[Lane, int]] | None = None
        self._refresh: int | None = None

    def is_shown(self) -> bool:
        """Whether a search finds it as it was at the position, or newer."""
        if self._refresh is None and self._is_durable():
            self._refresh = self._progress.refresh_of(self._index)
            if not self._progress.has_shown(self._index, self._refresh):
                self._show(self._index)
        return (
            self._refresh is not None
            and self._progress.has_shown(self._index, self._refresh)
            and self._index not in self._progress.unpublished
            and self._index not in self._progress.reread
            and (self._is_ours or self._progress.others_searchable(self._index) >= self._position)
        )

    def hindrance(self) -> Hindrance | None:
        """What has to come before it is worth while to ask again; None: nobody knows."""
        progress, position = self._progress, self._position
        if self._pending is None:
            # Until it is received nobody asks.
            return Hindrance("unfilled", position, lambda: _filled_up_to(progress))
        for lane, number in self._pending:
            if lane.done_number < number:
                return Hindrance(lane, number, lambda: lane.done_number)  # noqa: B023 - it is returned at once
        index = self._index
        if self._refresh is None:
            return None
        if not progress.has_shown(index, self._refresh):
            return Hindrance((index, "shown"), self._refresh, lambda: progress.shown_by(index))
        if not self._is_ours and progress.others_searchable(index) < position:
            return Hindrance((index, "others"), position, lambda: progress.others_searchable(index))
        return None

    def _is_durable(self) -> bool:
        """Once it is received and nothing lacks, all of it is in lanes: what comes later isn't
        waited for.
        """  # noqa: D205 - one sentence
        if self._pending is None and self._is_sent():
            self._pending = [(lane, lane.last_with(self._index, self._id)) for lane in self._lanes]
        return self._pending is not None and all(
            lane.done_number >= number for lane, number in self._pending
        )

    def _is_sent(self) -> bool:
        progress = self._progress
        if progress.received < self._position:
            return False
        unfilled = progress.unfilled  # only now: it is set before what lacks is received
        return unfilled is None or unfilled >= self._position


def _filled_up_to(progress: Progress) -> Position:
    """No document of an earlier commit lacks a value."""
    unfilled = progress.unfilled
    return BEYOND if unfilled is None else unfilled
