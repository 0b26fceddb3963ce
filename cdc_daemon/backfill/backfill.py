"""The backfill as the reader sees it: what workers bring goes through the window to the sink."""

from __future__ import annotations

import time
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

AGAIN_SECONDS: Final = 1.0
"""A chunk that doesn't see a huge transaction is read again no sooner: that may take long."""
STARVING_SECONDS: Final = 1.0


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
        self._released_at = 0.0
        self._loading = frozenset[str]()

    @property
    def loads(self) -> list[ActiveLoad]:
        """The loads that aren't done."""
        return [*self._loads.active, *self._unpublished]

    @property
    def active(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._workers)

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
        transaction = self._window.transaction(xid, self._delivery.progress.received)
        # Before anything of it is sent: whoever waits for room meanwhile reports what is confirmed.
        self._delivery.progress.held = self._window.held()
        return transaction

    def connected_again(self) -> None:
        """The stream has a new connection: perhaps after a crash of the source.

        That may have lost commits that a snapshot saw (synchronous_commit = off), and gives their
        numbers to others: what was read before it is read again.
        """
        self._loads.connection += 1
        for chunk in self._window.begin_again():
            self._loads.again(chunk)

    def step(self) -> None:
        """Do what can be done now: take chunks, release them, note what is durable."""
        if not self._workers:
            return
        self._take()
        self._delivery.progress.held = self._window.held()
        self._release()
        self.note_durable()
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
            if chunk.connection != self._loads.connection:
                self._loads.again(chunk)
                continue
            if not self._window.arrived(chunk):
                self._loads.again(chunk, wait_seconds=AGAIN_SECONDS)
            self._window.snapshot_taken(worker, seen)
        for worker, seen in self._loads.snapshots():
            self._window.snapshot_taken(worker, seen)

    def _release(self) -> None:
        delivery = self._delivery
        while self._may_release():
            received = delivery.progress.received
            chunk = self._window.ready(received)
            if chunk is None:
                return
            for index, documents in chunk.documents.items():
                delivery.dispatcher.send(index, received, documents.items(), after=received)
                delivery.metrics.loaded(delivery.projection_of(index).name, chunk.rows)
            delivery.dispatcher.release()
            # Only now: a source that is lost meanwhile must not take the chunk along.
            self._window.released(chunk)
            self._released_at = time.monotonic()
            self._written.append(Written(chunk, delivery.dispatcher.mark()))

    def _may_release(self) -> bool:
        """While there is room; or after a while all the same: a busy stream starves no load."""
        if self._delivery.dispatcher.size_bytes <= self._queue_bytes:
            return True
        return time.monotonic() - self._released_at >= STARVING_SECONDS

    def note_durable(self) -> None:
        """Have the checkpoint say which rows needn't be read again."""
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
        for load in list(self._unpublished):
            log.info("loaded", table=load.relation.qualified_name, rows=load.rows)
            # From now on refreshed like the others, so that nothing is missed after this refresh.
            self._delivery.progress.building -= load.targets.keys()
            for projection in load.targets.values():
                self._delivery.aside(partial(self._show, self._generations[projection.name]))
            self._loading -= load.targets.keys()
            self._unpublished.remove(load)

    def _show(self, generation: Generation) -> None:
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
