"""The backfill as the reader sees it: what workers bring goes through the window to the sink."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from cdc_daemon.backfill.activeload import ActiveLoad
from cdc_daemon.backfill.endings import Endings
from cdc_daemon.backfill.loads import Loads
from cdc_daemon.backfill.nudging import Nudging
from cdc_daemon.backfill.releasing import Releasing
from cdc_daemon.backfill.report import report, report_ended
from cdc_daemon.backfill.requests import Requests
from cdc_daemon.backfill.targets import IndexTarget, note_touched, state_name
from cdc_daemon.backfill.window import MOST_KEPT, Window
from cdc_daemon.backfill.worker import workers

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Collection, Mapping, Sequence

    from cdc_daemon.backfill.joinedloads import JoinedLoads
    from cdc_daemon.backfill.report import Ended, UnderWay
    from cdc_daemon.backfill.targets import Target
    from cdc_daemon.backfill.window import Transaction
    from cdc_daemon.backfill.worker import Worker
    from cdc_daemon.backfill.writing import Writing
    from cdc_daemon.config.models import BackfillConfig
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Generation, Load, Relation
    from cdc_daemon.ports import ChunkReader, Sink, Source
    from cdc_daemon.projection.compiler import Compiled
    from cdc_daemon.state import Staged

log = structlog.get_logger(__name__)

RECENT: Final = 1000
"""Transactions whose numbers are kept for a load that begins beside the stream: a commit is in the
stream a moment before a snapshot sees it."""

AGAIN_SECONDS: Final = 1.0
"""A chunk that doesn't see a huge transaction is read again no sooner, nor rows that still lack a
value: that may take long."""


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
        all_loaded: Callable[[], None],
        recent: deque[int],
        unseen: Collection[int] = (),
        joined: JoinedLoads | None = None,
    ) -> None:
        """`unseen`: as `Checkpoint` has it."""
        self._config = config
        self._source = source
        self._delivery = delivery
        self._generations = generations
        self._all_loaded = all_loaded
        self._joined = joined
        self._unseen = unseen
        self._prepare()
        self._endings = Endings(delivery, sink, generations, source.wake)
        self.requests = Requests(source.wake)
        """What other threads want of the reader."""
        self.recent = recent
        """The numbers of the last transactions that changed documents. The reader adds them."""
        self._workers: list[Worker] = []
        self._nudging = Nudging(delivery.monitor.nudge_soon)
        self._is_connected = False
        """Whether the stream has begun: what is read before would have to be read again."""
        self._is_pressing = False
        self._is_filling = False

    def _prepare(self) -> None:
        workers = self._config.workers
        self._loads = Loads(workers, self._source.wake)
        self._window = Window(workers)
        self._delivery.checkpointer.unseen = self._window.unseen
        self._releasing = Releasing(self._loads, self._window, self._delivery, self._joined)

    @property
    def loads(self) -> list[UnderWay]:
        """What isn't done, of loads and of generations that are written."""
        active = self._loads.active
        return [*active, *self.sweeping, *self._writings, *self._endings.unpublished]

    @property
    def _stored(self) -> list[UnderWay]:
        """Those that a start goes on with by the checkpoint: of rows of the state it says that."""
        read = [load for load in self._loads.active if load.state is None]
        return [*read, *self.sweeping, *(one for one in self._writings if one.repairs)]

    @property
    def _writings(self) -> Sequence[Writing]:
        return () if self._joined is None else self._joined.writings

    @property
    def waits(self) -> bool:
        """Whether rows wait for the stream."""
        return len(self._window) > 0

    @property
    def active(self) -> bool:
        """Whether `step` has something to do."""
        return self._is_filling or (self._joined is not None and self._joined.has_work)

    @property
    def writes(self) -> bool:
        """Whether generations are written, or shown, for which the source needn't be there."""
        return any(not one.waits for one in self._writings) or bool(self._endings.unpublished)

    @property
    def is_pressing(self) -> bool:
        """Whether the last step has left something that needn't wait for anybody."""
        return self._is_pressing

    @property
    def loading(self) -> frozenset[str]:
        """The indices, and tables of the state, that are being filled."""
        return self._endings.loading

    @property
    def sweeping(self) -> list[UnderWay]:
        """The repairs that have read everything, and delete what is gone."""
        return self._endings.sweeping

    @property
    def ended(self) -> list[Ended]:
        """The last loads that are over. Any thread may ask."""
        return self._endings.ended

    @property
    def has_work(self) -> bool:
        """Whether the reader should call `step`."""
        return self.active or bool(self.requests)

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read for now."""
        return self._loads.paused

    @property
    def chunks_out(self) -> int:
        """How many chunks are being read, wait, or aren't in the sink."""
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
        relations = {relation.qualified_name: relation for relation in compiled.relations}
        for load in loads:
            if self._joined is not None and self._joined.repair(load):
                filled = {self._generations[name].index for name in load.projections}
                self._endings.fills(filled)
                self._endings.begun(load, filled)
                continue
            targets = {
                self._generations[projection.name].index: IndexTarget(projection)
                for projection in compiled.projections
                if projection.name in load.projections
            }
            self._endings.begun(load, targets)
            self._add(relations[load.table], targets, load)
        self._start_reading(loads)

    def begin_joined(self) -> None:
        """Begin what joined read models lack, or go on with it. As `begin`."""
        if self._joined is None:
            return
        begun = list(self._joined.to_begin())
        for relation, target, load in begun:
            self._add(relation, {state_name(target.table.number): target}, load)
        for writing in self._writings:
            self._endings.fills(writing.fills)
            if not writing.repairs:
                self._delivery.progress.build(writing.fills)
        self._start_reading(begun)

    def _add(self, relation: Relation, targets: Mapping[str, Target], load: Load) -> None:
        self._loads.add(relation, targets, load, self.new_reader() if load.repairs else None)
        self._endings.fills(targets)
        log.info(
            "loading",
            table=load.table,
            projections=list(load.projections),
            resumed=load.todo is not None,
            rows_before=load.rows,
            why=load.why,
        )

    def _start_reading(self, begun: Sequence[object]) -> None:
        self._is_filling = bool(self.loads)
        if begun and self._loads.active:
            self._window.doubt({*filter(None, self.recent), *self._unseen})
        if self._loads.active and not self._workers:
            self._start_workers()

    def new_reader(self) -> ChunkReader:
        """One more connection that reads. Any thread may call it."""
        return self._source.chunk_reader(self._config.chunk)

    def begin_beside(self, load: Load, compiled: Compiled) -> None:
        """Begin a load while the stream goes on. The reader calls it, between transactions."""
        self.begin([load], compiled)
        self._is_filling = True
        self._note()

    def cancel(self, load: UnderWay) -> None:
        """Read no more of a repair; its read models stay as they are by now. The reader calls it.

        What has been written of it is as right as what the stream writes.
        """
        log.info("load_cancelled", table=load.relation.qualified_name, projections=list(load.names))
        self._give_up(load, "cancelled")

    def _give_up(self, load: UnderWay, outcome: str) -> None:
        if isinstance(load, ActiveLoad):
            self._loads.cancel(load)
            self._window.forget(load.number)
        elif self._joined is not None:
            self._joined.cancel(load)
        self._endings.end(load, outcome)
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
        self._hold()
        return transaction

    def _hold(self) -> None:
        """Have what is remembered come again after a crash.

        Where commits wait for what is confirmed, that would make them wait for what waits for them:
        nobody sees them before. So their numbers are kept in the checkpoint.
        """
        kept = MOST_KEPT if self._delivery.monitor.strong.waited_for else 0
        self._delivery.progress.held = self._window.held(kept)

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
        if not self.active:
            return
        self._give_up_failed()
        self._take()
        self._hold()
        self._is_pressing = self._releasing.release()
        self._go_on()

    def write(self) -> None:
        """Do what needs nothing more of the source, while there is no stream.

        Chunks wait: a transaction that was taken out of them, and then forgotten, may never come
        again, as the source may come back in another history.
        """
        self.requests.carry_out()
        if self.active:
            self._is_pressing = False
            self._go_on()

    def _go_on(self) -> None:
        if self._joined is not None:
            may_write = self._releasing.has_room and not self.is_paused
            self._is_pressing |= self._joined.step(may_write=may_write)
        wanted = self._window.waits_for()
        if wanted is None and self._joined is not None:
            wanted = self._joined.waits_for()
        self._nudging.waits(self._delivery.progress.received, wanted)
        self.note_durable()
        if self._endings.take_swept():
            self._note()
        self._endings.publish()
        if self._is_filling and not self.loads:
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
        for worker in self._workers:
            worker.end()

    def _start_workers(self) -> None:
        self._workers = workers(self._config, self._loads, self.new_reader, self._delivery.fail)
        if self._is_connected:
            self._run_workers()

    def _run_workers(self) -> None:
        for worker in self._workers:
            worker.start()

    def _take(self) -> None:
        news = self._loads.news()
        # Who has come back meanwhile counts already: what was read is older than what others saw.
        came = {worker for worker, *_ in (*news.arrivals, *news.snapshots)}
        self._window.leave_out(self._window.left_out & news.away - came)
        for worker, seen, chunk in news.arrivals:
            if self._loads.of(chunk) is None:
                continue
            if chunk.connection != self._loads.connection:
                self._loads.again(chunk)
                continue
            if not self._window.arrived(chunk):
                self._loads.again(chunk, wait_seconds=AGAIN_SECONDS)
                self._delivery.metrics.read_too_early()
            self._window.snapshot_taken(worker, seen)
        for worker, seen in news.snapshots:
            self._window.snapshot_taken(worker, seen)
        self._window.leave_out(news.away)

    def note_durable(self) -> None:
        """Have the checkpoint say which rows needn't be read again."""
        has_more = self._releasing.note_durable()
        for load in self._loads.take_done():
            self._finish(load)
        for writing in () if self._joined is None else self._joined.take_written():
            self._endings.whole(writing)
        if has_more or self._endings.unpublished:
            self._note()
        now = time.monotonic()
        for load in self._loads.active:
            if load.planned:
                load.speed.sampled(now, load.rows, load.blocks_left)

    def _finish(self, load: ActiveLoad) -> None:
        """All of its chunks are durable."""
        if load.state is not None:
            self._finish_table(load)
        else:
            self._endings.whole(load)

    def _finish_table(self, load: ActiveLoad) -> None:
        assert self._joined is not None  # noqa: S101 - as above
        lacking = tuple(self._joined.finish(load))
        if lacking:
            wait_seconds = AGAIN_SECONDS if lacking == load.lacked else 0.0
            self._loads.read_rows(load, lacking, wait_seconds=wait_seconds)
        else:
            log.info("rows_kept", table=load.relation.qualified_name, rows=load.rows)
            self._endings.end(load, "loaded")

    def _note(self) -> None:
        loads = tuple(load.stored() for load in self._stored)
        built = [writing for writing in self._writings if not writing.repairs]
        building = tuple(name for writing in built for name in writing.names)
        self._delivery.checkpointer.note(loads, building)

    def _end(self) -> None:
        self._is_filling = False
        self.close()
        self._workers = []
        self._prepare()
        self._unseen = ()
        self._delivery.progress.held = None
        self._all_loaded()

    def streamed(self, staged: Staged, window: Transaction) -> None:
        """Note which rows of tables that are read into the state a transaction has touched."""
        note_touched(staged, window, self._endings.loading)
