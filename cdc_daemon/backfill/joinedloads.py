"""Joined read models on their way to be whole: rows into the state, then every document once.

    chunks of rows ▶ values that are lacking ▶ indexes ▶ counters ▶ documents ▶ shown to searches

The first two are loads of tables like any other; the rest is done here, a slice at a time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.backfill.statechunks import StateChunks
from cdc_daemon.backfill.writing import Writing
from cdc_daemon.events import Load

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from cdc_daemon.backfill.activeload import ActiveLoad
    from cdc_daemon.backfill.report import UnderWay
    from cdc_daemon.backfill.statechunks import Beginning
    from cdc_daemon.backfill.window import LoadedChunk
    from cdc_daemon.delivery.dispatcher import Dispatcher
    from cdc_daemon.events import Position
    from cdc_daemon.joining import Joiner
    from cdc_daemon.projection.joined.plan import Plan

log = structlog.get_logger(__name__)


class JoinedLoads:
    """Of one pipeline. The reader calls it."""

    def __init__(
        self,
        joiner: Joiner,
        plans: Sequence[Plan],
        indices: Mapping[str, str],
        building: Collection[str],
        dispatcher: Dispatcher,
    ) -> None:
        """`building`: the projections whose generation isn't whole."""
        self._joiner = joiner
        self._plans = {plan.name: plan for plan in plans}
        self._indices = indices
        self._dispatcher = dispatcher
        self._chunks = StateChunks(joiner.store, plans)
        self.writings = [
            self._writing(Load(plan.relation.qualified_name, (plan.name,)))
            for plan in plans
            if plan.name in building
        ]
        """Generations that aren't whole, and those that are written again."""

    def _writing(self, load: Load) -> Writing:
        (name,) = load.projections
        return Writing(load, self._plans[name], self._indices[name], self._joiner, self._dispatcher)

    def repair(self, load: Load) -> bool:
        """Begin to write every document again, of a joined projection; whether it is one."""
        if load.projections[0] not in self._plans:
            return False
        self.writings.append(self._writing(load))
        return True

    def cancel(self, writing: UnderWay) -> None:
        """Write no more of it."""
        self.writings = [one for one in self.writings if one is not writing]

    def to_begin(self) -> Iterator[Beginning]:
        """The loads of tables that lack rows."""
        return self._chunks.to_begin()

    def waits_for(self) -> Position | None:
        """Up to where the stream must come before all that is asked for can be written, if it isn't
        there yet.
        """  # noqa: D205 - one sentence
        places = (one.asked.since for one in self.writings if one.is_ahead)
        return max(places, default=None)

    def put_some(self, load: ActiveLoad, chunk: LoadedChunk) -> bool:
        """Put a slice of a chunk into the state; whether that was all."""
        put = self._chunks.slice_of(load, chunk)
        self._joiner.store.write(lambda batch: batch.load(put.table, put.rows, put.progress))
        self._joiner.reject(load.relation, put.rejected)
        self._chunks.took(chunk, put)
        return put.is_last

    def finish(self, load: ActiveLoad) -> Sequence[tuple[str, ...]]:
        """All chunks of a table are there: what is still to be read, or else it is whole."""
        lacking = self._chunks.lacking(load)
        if lacking and lacking != [*load.lacked]:
            log.info("values_lacking", table=load.relation.qualified_name, rows=len(lacking))
        if not lacking:
            self._chunks.loaded(load)
        return lacking

    @property
    def has_work(self) -> bool:
        """Whether `step` has something to do, by now or later."""
        schema = self._joiner.store.schema
        return bool(self.writings or self._joiner.projections.held or schema.dropped)

    def step(self, *, may_write: bool) -> bool:
        """Do a slice of what can be done; whether there is more that needn't wait.

        `may_write`: whether there is room for documents.
        """
        store, projections = self._joiner.store, self._joiner.projections
        if not store.schema.to_load and not (store.index_some() and projections.count_some()):
            return True
        for name in sorted(projections.look_again()):
            self._joiner.whole(name)
            log.info("state_whole", projection=name)
        writing = next((one for one in self.writings if not (one.waits or one.mark)), None)
        if writing is None:
            return not store.drop_some()
        if not may_write:
            return False
        writing.write_some(time.monotonic())
        return True

    def take_written(self) -> list[Writing]:
        """The generations of which every document is durable; they are written no longer."""
        done = [one for one in self.writings if one.is_durable]
        self.writings = [one for one in self.writings if one not in done]
        for writing in done:
            if not writing.repairs:
                self._joiner.written(*writing.names)
        return done
