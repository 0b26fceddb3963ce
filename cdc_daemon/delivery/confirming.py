"""Tells the source how far we are: what it may forget, and what its commits wait for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.events import NOWHERE, Position

if TYPE_CHECKING:
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.ports import Source

REPORT_SECONDS: Final = 0.1
"""How often the source is told what was received; what is durable is told at once."""


class Confirmed(NamedTuple):
    """What the source is told."""

    received: Position
    durable: Position
    """Checkpointed as well."""
    searchable: Position
    """But for the projections that commits don't wait for."""


class Confirming:
    """Of one pipeline. The reader calls it."""

    def __init__(self, source: Source, delivery: Delivery) -> None:
        self._source = source
        self._delivery = delivery
        self._strong = delivery.monitor.strong
        self._awaited_indices = {
            name: index
            for name, index in delivery.indices.items()
            if name not in self._strong.excluded
        }
        self._told = Confirmed(NOWHERE, NOWHERE, NOWHERE)
        self._told_at = 0.0
        self._was_awaited = False

    @property
    def is_awaited(self) -> bool:
        """Whether a commit may wait for what is confirmed."""
        return self._strong.waited_for

    @property
    def awaits_durable(self) -> bool:
        """Whether one may wait until what it wrote can be forgotten: not through a relay."""
        return self.is_awaited and not self._strong.is_relayed

    def committed(self, position: Position) -> None:
        """A transaction is on its way: where its commit may wait for it, it hurries."""
        self._strong.received(position)
        if self.is_awaited:
            self._delivery.hurry(position, self._awaited_indices.keys())

    def passed(self, position: Position) -> None:
        """The source has nothing for us up to there: commits of others may wait for it as well."""
        if self.is_awaited and self._delivery.progress.dirty():
            self._delivery.hurry(position, self._awaited_indices.keys())

    def report(self, *, urgent: bool = False) -> bool:
        """Offer what is durable as the checkpoint, and tell the source; whether it was told."""
        delivery = self._delivery
        delivery.checkpointer.offer(
            delivery.progress.confirmable(),
            delivery.dispatcher.sent,
            urgent=urgent,
            awaited=self.awaits_durable,
        )
        if self.is_awaited and not self._was_awaited:  # what came before that was known
            delivery.hurry(delivery.progress.received, self._awaited_indices.keys())
        self._was_awaited = self.is_awaited
        self._strong.covers_all = delivery.progress.unpublished.isdisjoint(
            self._awaited_indices.values()
        )
        reached = self._reached()
        changed = reached.durable != self._told.durable
        if self.is_awaited:
            changed = reached != self._told
        if not (urgent or changed or time.monotonic() - self._told_at >= REPORT_SECONDS):
            return False
        self._tell(reached)
        return True

    def repeat(self) -> None:
        """Tell the source how far we are by now, also in the middle of a batch."""
        self._tell(self._reached())

    def _reached(self) -> Confirmed:
        progress = self._delivery.progress
        searchable = progress.searchable_of(self._awaited_indices.values())
        durable = min(progress.confirmable(), self._delivery.checkpointer.stored)
        # A load may hold back what nobody waits for any more: what was told isn't taken back.
        durable = max(durable, self._told.durable)
        return Confirmed(progress.received, durable, searchable)

    def _tell(self, reached: Confirmed) -> None:
        self._source.confirm(**reached._asdict())
        self._strong.reported(reached.searchable)
        self._told, self._told_at = reached, time.monotonic()
