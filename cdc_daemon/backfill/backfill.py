"""The backfill as the reader sees it: what workers bring goes through the window to the sink."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from cdc_daemon.backfill.loads import Loads
from cdc_daemon.backfill.window import Window
from cdc_daemon.backfill.worker import Worker
from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.generations import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cdc_daemon.backfill.loads import ActiveLoad
    from cdc_daemon.backfill.window import LoadedChunk, Transaction
    from cdc_daemon.config.models import BackfillConfig
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Generation, Load
    from cdc_daemon.ports import Sink, Source
    from cdc_daemon.projection.compiler import Compiled

log = structlog.get_logger(__name__)

QUEUE_SHARE: Final = 4
"""Rows are released while no more than this part of `memory.queue` waits for the sink: changes
that come meanwhile have room, and no more than that before them."""


class Written(NamedTuple):
    """A chunk whose documents are on their way."""

    chunk: LoadedChunk
    mark: tuple[int, ...]


class Backfill:
    """All loads of a pipeline. The reader calls it; workers read in threads of their own."""

    def __init__(  # noqa: PLR0913 - what it is connected to, each by its name
        self,
        *,
        config: BackfillConfig,
        source: Source,
        sink: Sink,
        delivery: Delivery,
        generations: Mapping[str, Generation],
        queue_bytes: int,
        all_loaded: Callable[[], None],
    ) -> None:
        self._config = config
        self._source = source
        self._sink = sink
        self._delivery = delivery
        self._generations = generations
        self._queue_bytes = queue_bytes // QUEUE_SHARE
        self._all_loaded = all_loaded
        self._loads = Loads(config.workers, source.wake)
        self._window = Window(config.workers)
        self._written: deque[Written] = deque()
        self._unpublished: list[ActiveLoad] = []
        self._workers: list[Worker] = []
        self._loading = frozenset[str]()

    @property
    def loads(self) -> list[ActiveLoad]:
        """The loads that aren't done."""
        return [*self._loads.active, *self._unpublished]

    @property
    def loading(self) -> frozenset[str]:
        """The indices that rows are being read for."""
        return self._loading

    def begin(
        self,
        loads: Iterable[Load],
        compiled: Compiled,
    ) -> None:
        """Begin these loads, or go on with them."""
        relations = {relation.qualified_name: relation for relation in compiled.relations}
        for load in loads:
            targets = {
                self._generations[projection.name].index: projection
                for projection in compiled.projections
                if projection.name in load.projections
            }
            relation = relations[load.table]
            self._loads.add(relation, targets, load)
            self._delivery.progress.building |= targets.keys()
            self._loading |= targets.keys()
            log.info(
                "loading",
                table=load.table,
                projections=list(load.projections),
                resumed=load.todo is not None,
                rows_before=load.rows,
            )
        if self._loads.active and not self._workers:
            self._start_workers()

    def transaction(self, xid: int) -> Transaction | None:
        """A transaction has come; None where no chunk needs to know what it touches."""
        if not self._workers:
            return None
        return self._window.transaction(xid, self._delivery.progress.received)

    def step(self) -> None:
        """Do what can be done now: take chunks, release them, note what is durable."""
        if not self._workers:
            return
        self._take()
        self._release()
        self._note_durable()
        self._delivery.progress.held = self._window.held()
        self._publish()
        if not self.loads:
            self._end()

    def pause(self, *, paused: bool) -> None:
        """Read nothing for now, or go on. Any thread may call it."""
        self._loads.pause(paused=paused)

    def show(self) -> dict[str, Any]:
        """What is left, as JSON: for the status."""
        return {
            "paused": self._loads.paused,
            "loads": [
                {
                    "table": load.relation.qualified_name,
                    "projections": [projection.name for projection in load.targets.values()],
                    "rows": load.rows,
                    "share": round(load.share_done, 4),
                }
                for load in self.loads
            ],
        }

    def close(self) -> None:
        """End the workers after what they are reading just now."""
        self._loads.close()

    def _start_workers(self) -> None:
        config = self._config
        rate = config.rows_per_second
        self._workers = [
            Worker(
                number,
                self._loads,
                self._source.chunk_reader(config.chunk),
                rate / config.workers if rate else None,
                self._delivery.fail,
            )
            for number in range(config.workers)
        ]
        for worker in self._workers:
            worker.start()

    def _take(self) -> None:
        for worker, seen, chunk in self._loads.arrivals():
            if chunk is not None and not self._window.arrived(chunk):
                self._loads.again(chunk)
            self._window.snapshot_taken(worker, seen)

    def _release(self) -> None:
        delivery = self._delivery
        while delivery.dispatcher.size_bytes <= self._queue_bytes:
            received = delivery.progress.received
            chunk = self._window.release(received)
            if chunk is None:
                return
            for index, documents in chunk.documents.items():
                delivery.dispatcher.send(index, received, documents.items(), after=received)
                delivery.metrics.loaded(delivery.projection_of(index).name, chunk.rows)
            delivery.dispatcher.release()
            self._written.append(Written(chunk, delivery.dispatcher.mark()))

    def _note_durable(self) -> None:
        before = len(self._written)
        while self._written and self._delivery.dispatcher.passed(self._written[0].mark):
            self._loads.durable(self._written.popleft().chunk)
        self._unpublished += self._loads.take_done()
        if len(self._written) < before or self._unpublished:
            self._delivery.checkpointer.note(tuple(load.stored() for load in self._loads.active))

    def _publish(self) -> None:
        """Let searches see what is loaded, once the checkpoint says that it is.

        In this order a crash in between costs nothing: a start publishes what is loaded.
        """
        if not self._unpublished or self._names(self._unpublished) & self._stored_names():
            return
        for load in self._unpublished:
            log.info("loaded", table=load.relation.qualified_name, rows=load.rows)
            # From now on refreshed like the others, so that nothing is missed after this refresh.
            self._delivery.progress.building -= load.targets.keys()
            self._loading -= load.targets.keys()
            for projection in load.targets.values():
                self._delivery.aside(partial(self._show, self._generations[projection.name]))
        self._unpublished = []

    def _show(self, generation: Generation) -> None:
        for attempt in retrying():
            with attempt:
                self._sink.refresh([generation.index])
        for attempt in retrying():
            with attempt:
                publish(self._sink, generation)

    def _stored_names(self) -> set[str]:
        return {
            name for load in self._delivery.checkpointer.stored_loads for name in load.projections
        }

    def _names(self, loads: Sequence[ActiveLoad]) -> set[str]:
        return {projection.name for load in loads for projection in load.targets.values()}

    def _end(self) -> None:
        self._loads.close()
        self._workers = []
        self._loads = Loads(self._config.workers, self._source.wake)
        self._window = Window(self._config.workers)
        self._delivery.progress.held = None
        self._all_loaded()
