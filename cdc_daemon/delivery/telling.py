"""Tells the delay clock how far everything is, all together and each read model by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.events import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.consistency.delays import Delays
    from cdc_daemon.delivery.progress import Progress

EACH_SECONDS: Final = 0.05
"""While something is on its way, the reader tells of each read model so often: to look at 50 of
them takes a millisecond. Whoever has written or refreshed something tells it at once."""


class Telling:
    """Of one pipeline. Any thread calls it."""

    def __init__(self, delays: Delays, progress: Progress, indices: Mapping[str, str]) -> None:
        """`indices`: those of the read models, by their names."""
        self._delays = delays
        self._progress = progress
        self._indices = indices
        self._told_each_at = 0.0

    def tell(self, *, moved: bool) -> None:
        """`moved`: something was written, or refreshed."""
        progress = self._progress
        received, durable, searchable = progress.received, progress.durable(), progress.searchable()
        if progress.reread:  # nobody knows what searches lack: for them nothing gets further
            searchable = NOWHERE
        self._delays.advanced(projected=received, indexed=durable, searchable=searchable)
        shown = {
            name: index
            for name, index in self._indices.items()
            if index not in progress.unpublished
        }
        if searchable >= received:  # nothing is on its way: there is nothing to tell apart
            self._delays.each_advanced(dict.fromkeys(shown, (received, received)))
        elif moved or time.monotonic() - self._told_each_at >= EACH_SECONDS:
            self._tell_each(shown)

    def _tell_each(self, shown: Mapping[str, str]) -> None:
        progress = self._progress
        self._delays.each_advanced(
            {
                name: (
                    progress.durable_of((index,)),
                    NOWHERE if index in progress.reread else progress.searchable_of((index,)),
                )
                for name, index in shown.items()
            }
        )
        self._told_each_at = time.monotonic()
