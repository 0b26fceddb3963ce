"""What is written beside the stream: what is known of it, and how it comes to be searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.events import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cdc_daemon.delivery.progress import Progress
    from cdc_daemon.delivery.refreshers import Refreshers
    from cdc_daemon.events import Position


class Besides:
    """Of one delivery; the `Stream` of whoever writes there. Any thread calls it."""

    def __init__(
        self,
        progress: Progress,
        refreshers: Refreshers,
        written: Callable[[str], None],
        hurry: Callable[[Position], None],
    ) -> None:
        """`written` gets each index that documents were written to, `hurry` what is awaited."""
        self.hurry_to = hurry
        """Somebody waits for what the stream brings up to there."""
        self._progress = progress
        self._refreshers = refreshers
        self._written = written
        self.highest = NOWHERE
        """No document that was written here has a higher version."""

    def come_to(self) -> Position:
        """All that is sent of the stream is of commits up to here."""
        return max(self._progress.sending, self._progress.received)

    def wrote(self, indices: Collection[str]) -> None:
        """Something is durable in these: have it refreshed like all the rest."""
        for index in indices:
            self._written(index)
            self._progress.touched_beside(index)
        self._refreshers.wake()

    def refreshes_of(self, indices: Collection[str]) -> Mapping[str, int]:
        """By index, the refresh that shows what was written; without those that nobody searches."""
        searched = {*indices} - self._progress.unpublished
        return {index: self._progress.refresh_of(index) for index in searched}

    def has_shown(self, refreshes: Mapping[str, int]) -> bool:
        """Whether those have succeeded."""
        return all(self._progress.has_shown(index, number) for index, number in refreshes.items())

    def has_brought(self, position: Position, *, searchable: bool) -> bool:
        """Whether the stream has everything up to there in the sink, or searched."""
        progress = self._progress
        return (progress.searchable() if searchable else progress.durable()) >= position

    def hurry(self, indices: Collection[str]) -> None:
        """Somebody waits for what was written to these."""
        for index in indices:
            self._refreshers.show(index)
