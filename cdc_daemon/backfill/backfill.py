"""The backfill as the reader sees it: what workers bring goes through the window to the sink."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from cdc_daemon.backfill.loads import Loads
from cdc_daemon.backfill.nudging import Nudging
from cdc_daemon.backfill.report import MOST_ENDED, Ended, report, report_ended
from cdc_daemon.backfill.requests import Requests
from cdc_daemon.backfill.sweeping import Sweeping
from cdc_daemon.backfill.window import Window
from cdc_daemon.backfill.worker import Worker
from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.generations import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.backfill.loads import ActiveLoad
    from cdc_daemon.backfill.window import LoadedChunk, Transaction
    from cdc_daemon.config.models import BackfillConfig
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Generation, Load
    from cdc_daemon.ports import ChunkReader, Sink, Source
    from cdc_daemon.projection.compiler import Compiled

log = structlog.get_logger(__name__)

QUEUE_SHARE: Final = 4
"""Rows are released while no more of them than this part of `memory.queue` wait for the sink."""
RECENT: Final = 1000
"""Transactions whose numbers are kept for a load that begins beside the stream: a commit is in the
stream a moment before a snapshot sees it."""

AGAIN_SECONDS: Final = 1.0
"""A chunk that doesn't see a huge transaction is read again no sooner: that may take long."""


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
        recent: deque[int],
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
        self._sweepings: list[Sweeping] = []
        self._ended: deque[Ended] = deque(maxlen=MOST_ENDED)
        self.requests = Requests(source.wake)
        """What other threads want of the reader."""
        self.recent = recent
        """The numbers of the last transactions that changed documents. The reader adds them."""
        self._workers: list[Worker] = []
        self._nudging = Nudging(delivery.monitor.nudge_soon)
        self._is_connected = False
        """Whether the stream has begun: what is read before would have to be read again."""
        self._loading = frozenset[str]()

    @property
    def loads(self) -> list[ActiveLoad]:
        """The loads that aren't done."""
        return [*self._unfinished, *self._unpublished]

    @property
    def _unfinished(self) -> list[ActiveLoad]:
        """The loads that a start would have to go on with."""
        return [*self._loads.active, *self.sweeping]

    @property
    def waits(self) -> bool:
        """Whether rows wait for the stream."""
        return len(self._window) > 0

    @property
    def active(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._workers)

    @property
    def loading(self) -> frozenset[str]:
        """The indices that rows are being read for."""
        return self._loading

    @property
    def sweeping(self) -> list[ActiveLoad]:
        """The repairs that have read everything, and delete what is gone."""
        return [sweeping.load for sweeping in self._sweepings]

    @property
    def ended(self) -> list[Ended]:
        """The last loads that are over. Any thread may ask."""
        return list(self._ended)

    @property
    def has_work(self) -> bool:
        """Whether the reader should call `step`."""
        return bool(self._workers) or bool(self.requests)

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read for now."""
        return self._loads.paused

    @property
    def chunks_out(self) -> int:
        """How many chunks are being read, wait, or aren't durable."""
        return self._loads.out

    @property
    def ids_remembered(self) -> int:
        """How many document ids are kept of what chunks may not see."""
        return self._window.ids_remembered

    def begin(
        self,
        loads: Sequence[Load],
        compiled: Compiled,
    ) -> None:
        """Begin these loads, or go on with them. The reader calls it, between transactions."""
        if loads:
            self._window.doubt(filter(None, self.recent), self._delivery.progress.received)
        relations = {relation.qualified_name: relation for relation in compiled.relations}
        for load in loads:
            targets = {
                self._generations[projection.name].index: projection
                for projection in compiled.projections
                if projection.name in load.projections
            }
            self._loads.add(
                relations[load.table], targets, load, self.new_reader() if load.repairs else None
            )
            if not load.repairs:
                self._delivery.progress.building |= targets.keys()
            self._loading |= targets.keys()
            log.info(
                "loading",
                table=load.table,
                projections=list(load.projections),
                resumed=load.todo is not None,
                rows_before=load.rows,
                why=load.why,
            )
        if self._loads.active and not self._workers:
            self._start_workers()

    def new_reader(self) -> ChunkReader:
        """One more connection that reads. Any thread may call it."""
        return self._source.chunk_reader(self._config.chunk)

    def begin_beside(self, load: Load, compiled: Compiled) -> None:
        """Begin a load while the stream goes on. The reader calls it, between transactions."""
        self.begin([load], compiled)
        self._note()

    def cancel(self, load: ActiveLoad) -> None:
        """Read no more of a repair; its read models stay as they are by now. The reader calls it.

        What has been written of it is as right as what the stream writes.
        """
        log.info("load_cancelled", table=load.relation.qualified_name, projections=list(load.names))
        self._give_up(load, "cancelled")

    def _give_up(self, load: ActiveLoad, outcome: str) -> None:
        self._loads.cancel(load)
        self._window.forget(load.number)
        self._end_load(load, outcome)
        self._note()

    def _give_up_failed(self) -> None:
        """A repair that can't go on is given up, or each start would end with it."""
        for load in self._loads.active:
            if load.failure is not None:
                table, error = load.relation.qualified_name, str(load.failure)
                log.error("repair_failed", table=table, projections=list(load.names), error=error)
                self._delivery.metrics.failed()
                self._give_up(load, "failed")

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
        if not self._is_connected:
            self._is_connected = True
            self._run_workers()
        for chunk in self._window.begin_again():
            self._loads.again(chunk)

    def step(self) -> None:
        """Do what can be done now: what was asked, take chunks, release them, note what is done."""
        self.requests.carry_out()
        if not self._workers:
            return
        self._give_up_failed()
        self._take()
        self._delivery.progress.held = self._window.held()
        self._release()
        self._nudging.waits(self._delivery.progress.received, self._window.waits_for())
        self.note_durable()
        self._end_sweepings()
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
            "loads": [report(load) for load in self.loads],
            "ended": [report_ended(one) for one in self.ended],
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
                self.new_reader(),
                rate / config.workers if rate else None,
                self._delivery.fail,
            )
            for number in range(config.workers)
        ]
        if self._is_connected:
            self._run_workers()

    def _run_workers(self) -> None:
        for worker in self._workers:
            worker.start()

    def _take(self) -> None:
        for worker, seen, chunk in self._loads.arrivals():
            if not self._loads.has(chunk):
                continue
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
        while delivery.dispatcher.loading_bytes <= self._queue_bytes:
            received = delivery.progress.received
            chunk = self._window.ready(received)
            if chunk is None:
                return
            for index, documents in chunk.documents.items():
                delivery.dispatcher.load(index, received, documents)
                delivery.metrics.loaded(delivery.projection_of(index).name, chunk.rows)
            # Only now: a source that is lost meanwhile must not take the chunk along.
            self._window.released(chunk)
            self._written.append(Written(chunk, delivery.dispatcher.mark()))

    def note_durable(self) -> None:
        """Have the checkpoint say which rows needn't be read again."""
        before = len(self._written)
        while self._written and self._delivery.dispatcher.passed(self._written[0].mark):
            self._loads.durable(self._written.popleft().chunk)
        for load in self._loads.take_done():
            if load.repairs:
                self._sweep(load)
            else:
                self._unpublished.append(load)
        if len(self._written) < before or self._unpublished:
            self._note()
        now = time.monotonic()
        for load in self._loads.active:
            if load.planned:
                load.speed.sampled(now, load.rows, load.blocks_left)

    def _note(self) -> None:
        self._delivery.checkpointer.note(tuple(load.stored() for load in self._unfinished))

    def _sweep(self, load: ActiveLoad) -> None:
        dispatcher = self._delivery.dispatcher
        dispatcher.highest = max(dispatcher.highest, load.asked.since)
        sweeping = Sweeping(load, self._delivery, self._source.wake)
        self._sweepings.append(sweeping)
        sweeping.start()

    def _end_sweepings(self) -> None:
        """What was deleted is to be missed by searches, too; then the load is over."""
        done = [sweeping for sweeping in self._sweepings if sweeping.is_done]
        if not done:
            return
        self._sweepings = [sweeping for sweeping in self._sweepings if sweeping not in done]
        for sweeping in done:
            for index in sweeping.load.targets:
                self._delivery.touched(index)
            self._end_load(sweeping.load, "repaired")
        self._note()

    def _end_load(self, load: ActiveLoad, outcome: str) -> None:
        self._loading -= load.targets.keys()
        reason = "" if load.failure is None else str(load.failure)
        self._ended.append(
            Ended(
                load.relation.qualified_name,
                load.names,
                load.rows,
                load.asked.since,
                outcome,
                reason,
            )
        )

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
            # Only now: a source that is lost meanwhile must not end it half way.
            self._end_load(load, "loaded")
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
