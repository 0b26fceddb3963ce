"""The end of a repair: what its load has not written again belongs to no row, and is deleted.

Where it was to read some of the rows only, of what it hasn't written nobody knows: that stays.

In a thread of its own: whatever the stream writes meanwhile is newer, so that it needn't wait.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.errors import CdcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.backfill.report import UnderWay
    from cdc_daemon.delivery.delivery import Delivery

log = structlog.get_logger(__name__)


class Sweeping(threading.Thread):
    """Deletes from the indices of one load what is older than its beginning."""

    def __init__(self, load: UnderWay, delivery: Delivery, wake: Callable[[], None]) -> None:
        super().__init__(name="sweeping", daemon=True)
        self.load = load
        self._delivery = delivery
        self._wake = wake
        self.is_done = False

    def run(self) -> None:
        """For as long as it takes; then wake the reader."""
        load = self.load
        try:
            deleted = 0 if load.asked.where else self._delete_older()
        except (CdcError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._delivery.fail(error)
            return
        log.info(
            "repaired",
            table=load.relation.qualified_name,
            projections=list(load.names),
            rows=load.rows,
            deleted=deleted,
        )
        self.is_done = True
        self._wake()

    def _delete_older(self) -> int:
        since = self.load.asked.since
        return sum(self._delivery.delete_before(index, since) for index in self.load.fills)


class Sweepings:
    """Those of a pipeline. The reader calls it."""

    def __init__(self, delivery: Delivery, wake: Callable[[], None]) -> None:
        self._delivery = delivery
        self._wake = wake
        self._under_way: list[Sweeping] = []

    @property
    def loads(self) -> list[UnderWay]:
        """The repairs that they end."""
        return [sweeping.load for sweeping in self._under_way]

    def begin(self, load: UnderWay) -> None:
        """All of its rows are written."""
        dispatcher = self._delivery.dispatcher
        dispatcher.highest = max(dispatcher.highest, load.asked.since)
        sweeping = Sweeping(load, self._delivery, self._wake)
        self._under_way.append(sweeping)
        sweeping.start()

    def take_done(self) -> list[UnderWay]:
        """The repairs that are over; what was deleted is to be missed by searches, too."""
        done = [sweeping.load for sweeping in self._under_way if sweeping.is_done]
        self._under_way = [one for one in self._under_way if one.load not in done]
        for load in done:
            for index in load.fills:
                self._delivery.touched(index)
        return done
