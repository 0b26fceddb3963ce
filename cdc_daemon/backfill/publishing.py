"""Generations that are whole: shown to searches, once the checkpoint says that they are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.generations import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cdc_daemon.backfill.report import UnderWay
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Generation, Load
    from cdc_daemon.ports import Sink

log = structlog.get_logger(__name__)


class Publishing:
    """Those of one pipeline. The reader calls it."""

    def __init__(
        self, delivery: Delivery, sink: Sink, generations: Mapping[str, Generation]
    ) -> None:
        self._delivery = delivery
        self._sink = sink
        self._generations = generations
        self.waiting: list[UnderWay] = []
        """What has made generations whole that nobody searches yet."""

    def begun(self, load: Load, indices: Collection[str]) -> None:
        """Rows are loaded into these: searches don't see them yet, or nobody knows what they show.

        Of a table that has changed, what its load sees is left out of the stream.
        """
        if not load.repairs:
            self._delivery.progress.build(indices)
        elif load.why:
            self._delivery.progress.leave_to_load(indices)

    def ended(self, load: UnderWay) -> None:
        """It is over: what was left to it is to be shown."""
        if load.repairs and load.asked.why:
            self._delivery.load_ended(load.fills)

    def publish(self, ended: Callable[[UnderWay], None]) -> None:
        """Let searches see what is loaded, once the checkpoint says that it is; say what `ended`.

        In this order a crash in between costs nothing: a start publishes what is loaded.
        """
        names = {name for load in self.waiting for name in load.names}
        if not names or names & self._stored_names():
            return
        for load in list(self.waiting):
            log.info("loaded", table=load.relation.qualified_name, rows=load.rows)
            generations = [self._generations[name] for name in load.names]
            # From now on refreshed like the others, so that nothing is missed after this refresh.
            self._delivery.progress.built(one.index for one in generations)
            for generation in generations:
                self._delivery.aside(partial(self._show, generation))
            self._delivery.progress.published(one.index for one in generations)
            # Only now: a source that is lost meanwhile must not end it half way.
            ended(load)
            self.waiting.remove(load)

    def _show(self, generation: Generation) -> None:
        for attempt in retrying():
            with attempt:
                publish(self._sink, generation)

    def _stored_names(self) -> set[str]:
        checkpointer = self._delivery.checkpointer
        loaded = {name for load in checkpointer.stored_loads for name in load.projections}
        return loaded.union(checkpointer.stored_building)
