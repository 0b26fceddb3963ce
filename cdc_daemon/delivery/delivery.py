"""Everything between the reader and the sink, wired together: one object to start and to stop."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.consistency.freshness import Freshness
from cdc_daemon.delivery.aside import aside
from cdc_daemon.delivery.awaited import AwaitedDocument
from cdc_daemon.delivery.besides import Besides
from cdc_daemon.delivery.checkpointer import Checkpointer
from cdc_daemon.delivery.clearing import delete_before
from cdc_daemon.delivery.dispatcher import Dispatcher
from cdc_daemon.delivery.eachsink import EachSink
from cdc_daemon.delivery.hurry import Hurry
from cdc_daemon.delivery.lanegroups import lane_groups
from cdc_daemon.delivery.letterbox import Letterbox
from cdc_daemon.delivery.others import NOBODY, Others
from cdc_daemon.delivery.pace import Pace
from cdc_daemon.delivery.progress import Progress
from cdc_daemon.delivery.refresher import Refresher
from cdc_daemon.delivery.refreshers import Refreshers
from cdc_daemon.delivery.requests import Requests
from cdc_daemon.delivery.sender import Sender
from cdc_daemon.delivery.telling import Telling
from cdc_daemon.errors import SchemaChangedError, StartAgainError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from cdc_daemon.config.models import Configuration
    from cdc_daemon.consistency.monitor import Monitor
    from cdc_daemon.delivery.lane import Batch, Lane
    from cdc_daemon.delivery.letters import Projection
    from cdc_daemon.events import Checkpoint, Position
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import CheckpointStore, Sink

    _Watched = tuple[str, Lane, Callable[[], None], Callable[[Batch, float], None]]
    """A lane, the sink that it leads to, and who hears when a request begins and has ended."""

log = structlog.get_logger(__name__)

ENDING_SECONDS: Final = 0.1
"""How often a stop is looked for meanwhile."""


class Delivery:
    """Lanes, senders, refresher and checkpointer of one pipeline."""

    owns: Callable[[bytes], bool] | None = None
    """Whether a document is ours to write, by its id as a JSON string. None: all are."""
    require_ours: Callable[[], None] = staticmethod(lambda: None)
    """Raises where nothing that is held may be written any more: it may be another's."""
    wait_beside: Callable[[], None] | None = None
    """What is called meanwhile where slow work is done `aside`; None: as while queues are full."""
    schema_change: SchemaChangedError | None = None
    """What the reader is to leave for, between two transactions."""
    _failure: BaseException | None = None

    def __init__(  # noqa: PLR0913 - what it is connected to, each by its name
        self,
        *,
        configuration: Configuration,
        sink: Sink,
        projections: Mapping[str, Projection],
        monitor: Monitor,
        metrics: Metrics,
        wake: Callable[[], None],
        checkpoints: CheckpointStore | None = None,
    ) -> None:
        """Checkpoints are stored in the sink, if not in `checkpoints`."""
        self._sink = sink
        self._projections = projections
        self._wake = wake
        self._acknowledged = threading.Event()
        self.heard_from_reader = time.monotonic()
        """When the reader came round last: how a stuck one is noticed."""
        self.moved: Callable[[], None] = lambda: None
        """Called by any thread when a position may have moved; whoever waits for some sets it."""
        self.monitor, self.metrics = monitor, metrics
        self._letterbox = Letterbox(sink.dead_letters, projections, metrics)
        places = {index: sink.place(index) for index in projections}
        requests = {
            place: Requests(projections, metrics, place, self._note_written)
            for place in {*places.values()}
        }
        memory = configuration.memory
        freshness_seconds = {
            index: configuration.projections[projection.name].freshness
            for index, projection in projections.items()
        }
        names = {index: projection.name for index, projection in projections.items()}
        self.freshness = Freshness(names, freshness_seconds)
        self._awaited = Hurry(projections)
        self._pace = Pace(freshness_seconds, time.monotonic, self._awaited.covers)
        self._lanes, self._loading, self._yielding = lane_groups(
            places,
            configuration.senders,
            memory.batch,
            self._pace.hold_seconds,
            freshness_seconds,
        )
        self.progress = Progress(
            (*self._lanes, *self._loading), frozenset(filter(sink.shows_at_once, projections))
        )
        self._telling = Telling(monitor.delays, self.progress, self.indices)
        self.sinks = EachSink(
            places, names, self.progress, (self._lanes, self._loading), monitor.delays
        )
        self._pace.hidden, self._pace.refreshing = self.progress.hidden, self.progress.refreshing
        self.dispatcher = Dispatcher(
            self._lanes, self._loading, memory.queue, self.wait, self._reject
        )
        self.checkpointer = Checkpointer(
            checkpoints or sink.checkpoints, configuration.name, self._on_progress, self.fail
        )
        self._refreshers = Refreshers(
            places,
            lambda place, indices: Refresher(
                sink=sink,
                indices=indices,
                progress=self.progress,
                freshness_seconds=freshness_seconds,
                freshness=self.freshness,
                hurry=self._awaited,
                busy=lambda: self._lanes.busy_in(place),
                refreshed=lambda due, seconds: self._on_refreshed(place, due, seconds),
                retried=requests[place].retried,
                failed=self.fail,
            ),
        )
        self.beside = Besides(self.progress, self._refreshers, self._note_written, self.hurry)
        self._senders = [
            Sender(
                lane=lane,
                writer=sink.writer(place),
                progress=self.progress,
                keep=self._letterbox.keep_rejected,
                allowed=lambda: self.require_ours(),  # noqa: PLW0108 - it is set later
                observer=requests[place],
                begins=begins,
                ended=ended,
                advanced=self._on_written,
                failed=self.fail,
                number=number,
            )
            for number, (place, lane, begins, ended) in enumerate(self._all_lanes())
        ]

    def _all_lanes(self) -> Iterator[_Watched]:
        for place, lane in self._lanes.with_places():
            yield place, lane, lambda: None, self._yielding[place].changes_written
        for place, lane in self._loading.with_places():
            yielding = self._yielding[place]
            yield place, lane, yielding.begins, yielding.ends

    def start(self) -> None:
        """Start the threads that write and refresh."""
        self._letterbox.begin()
        self.metrics.queue_bytes.labels(self.metrics.pipeline).set_function(
            lambda: self.dispatcher.size_bytes
        )
        self.metrics.background_request_bytes.labels(self.metrics.pipeline).set_function(
            lambda: min(each.request_bytes for each in self._yielding.values())
        )
        for thread in (*self._senders, *self._refreshers):
            thread.start()

    def resume(self, checkpoint: Checkpoint, written: Position) -> None:
        """Everything up to `checkpoint` is durable: store checkpoints from now on.

        No document that is there has a higher version than `written`.
        """
        self.progress.unknown(self._projections)  # first of all: others may look by now
        self.progress.received = max(self.progress.received, checkpoint.position)
        self.dispatcher.highest = written
        self._refreshers.wake()
        self.checkpointer.begin(checkpoint)

    def wait(self, seconds: float = 0.5) -> None:
        """Wait until something was acknowledged, at most so long. Raises what a thread raised."""
        self._acknowledged.wait(seconds)
        self._acknowledged.clear()
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what ended one of the threads: going on without it would be wrong."""
        self.monitor.raise_failure()
        if self._failure is not None:
            raise self._failure

    def settle(self) -> None:
        """Wait until everything that was sent is durable."""
        self._hold_nothing()
        try:
            while self.dispatcher.size_bytes:
                self.dispatcher.wait_for_room()
        finally:
            self._hurry_all(at_once=False)

    def drain(
        self, deadline: float, while_waiting: Callable[[], None], *, for_good: bool = True
    ) -> bool:
        """Wait until all is searchable and checkpointed, until `deadline` (monotonic seconds).

        `for_good`: nothing is written after it, which the checkpoint then says.
        """
        self._hold_nothing()
        self._refreshers.finish()
        if for_good:
            self.checkpointer.finish(max(self.dispatcher.highest, self.beside.highest))
        while time.monotonic() < deadline:
            # Rows of a backfill are part of no position before they are durable.
            is_empty = not self.dispatcher.size_bytes
            while_waiting()
            durable = self.progress.own_durable()
            confirmable = self.progress.confirmable()
            self.checkpointer.offer(confirmable, self.dispatcher.sent, urgent=True)
            done = durable >= self.progress.reachable() and self.checkpointer.stored >= confirmable
            done = done and is_empty and self.checkpointer.is_current
            if done and self.progress.own_searchable() >= durable:
                while_waiting()  # once more: the checkpoint may be stored since it was told
                return True
            self.wait(0.02)
        return False

    def hurry(self, position: Position, projections: Collection[str] | None = None) -> None:
        """Somebody waits until what was committed up to `position` can be found: hold none of it.

        All of it; or what belongs to some projections. Any thread calls it, and however often. What
        the stream has not come to has no effect before, and can be taken back.
        """
        self._awaited.up_to(position, self._indices_of(projections))
        if self.take_awaited():
            for lane in self._lanes:
                lane.release()

    def take_back(self, position: Position, projections: Collection[str] | None = None) -> None:
        """Whoever has had this hurried waits no longer."""
        self._awaited.take_back(position, self._indices_of(projections))

    def _indices_of(self, projections: Collection[str] | None) -> list[str] | None:
        indices = self.indices
        return None if projections is None else [indices[name] for name in projections]

    def awaited_document(
        self, projection: str, document_id: bytes, position: Position
    ) -> AwaitedDocument:
        """One document (its id as a JSON string) as it was committed up to `position`."""
        index = self.indices[projection]
        # Documents that are routed are told apart by their routing, too, which nobody gives.
        known = None if index in self.dispatcher.routed else document_id
        return AwaitedDocument(
            (index, known),
            position,
            progress=self.progress,
            lanes=(*self._lanes, *self._loading),
            show=self._refreshers.show,
            is_ours=self.owns is None or (known is not None and self.owns(known)),
        )

    def take_awaited(self) -> bool:
        """Whether somebody waits for what was received since this was asked last: release it.

        The reader asks whenever it might hold something back.
        """
        if not self._awaited.take_read(self.progress.received):
            return False
        self._show_others()
        self._lanes.look_again()
        return True

    def _hold_nothing(self) -> None:
        """Write all that was sent, and hold nothing back."""
        self.dispatcher.release()
        self._hurry_all(at_once=True)
        self._lanes.look_again()
        self._loading.look_again()

    def _hurry_all(self, *, at_once: bool) -> None:
        self._pace.at_once = at_once
        for yielding in self._yielding.values():
            yielding.at_once = at_once

    def load_ended(self, indices: Collection[str]) -> None:
        """All is in these that was left to a load because a table has changed: have it shown."""
        self.progress.load_ended(indices)
        for index in indices:
            self._refreshers.show(index)

    def touched(self, index: str) -> None:
        """Have `index` refreshed: the commit that is being sent changed it by other means."""
        self.progress.touched(index)
        self._refreshers.wake()

    def clear_before(self, index: str, version: Position) -> None:
        """TRUNCATE: wait until all that was sent is there, and delete what is below `version`."""
        self.settle()
        self.aside(
            lambda: log.info("truncated", index=index, documents=self.delete_before(index, version))
        )
        self.touched(index)

    def delete_before(self, index: str, version: Position) -> int:
        """Delete what `index` held below `version`, for as long as it takes; how many."""
        return delete_before(self._sink, index, version)

    def close(self) -> None:
        """End the threads after what they are doing just now."""
        for lane in (*self._lanes, *self._loading):
            lane.close()
        self._refreshers.close()
        self.checkpointer.close()

    def let_end(self, stopping: threading.Event) -> None:
        """Wait, after `close`, until nothing is stored any more, or for a stop.

        Where the deadline of a drain has passed a checkpoint may be on its way. It is of the same
        owner as those of another start in this process, and would replace one of them.
        """
        while self.checkpointer.is_alive() and not stopping.is_set():
            self.checkpointer.join(ENDING_SECONDS)

    @property
    def dead_letters_stored(self) -> int:
        """How many dead letters there are."""
        return self._letterbox.stored

    def projection_of(self, index: str) -> Projection:
        """What fills an index."""
        return self._projections[index]

    @property
    def indices(self) -> dict[str, str]:
        """The index behind each read model."""
        return {projection.name: index for index, projection in self._projections.items()}

    def _reject(self, index: str, position: Position, rejected: list[tuple[bytes, bytes]]) -> None:
        self.aside(lambda: self._letterbox.keep_rows(index, position, rejected))

    def aside(self, work: Callable[[], object]) -> None:
        """Do slow work in another thread, while whoever reads keeps in touch with the source."""
        meanwhile = self.wait_beside or self.dispatcher.wait_for_room
        aside(work, meanwhile, self._acknowledged.set)

    def _note_written(self, index: str) -> None:
        if index not in self.progress.unpublished | self.progress.immediate:
            self.freshness.written(index)

    def _on_written(self) -> None:
        self._refreshers.wake()
        self._telling.tell(moved=True)
        self.moved()
        self._on_progress()

    def _on_refreshed(self, place: str, indices: Sequence[str], seconds: float) -> None:
        self._telling.tell(moved=True)  # whoever waits is told how late it was, too
        self.moved()
        self.metrics.refreshed(place, seconds)
        self._yielding[place].refreshed(indices, seconds)
        self._lanes.look_again()
        self._on_progress()

    def tell_delays(self) -> None:
        """Tell the delay clock how far it is (the reader calls it whenever it comes round)."""
        self._telling.tell(moved=False)

    def others_came_to(self, durable: Position, searchable: Position) -> None:
        """The documents of other replicas are so far. One thread calls it."""
        self.progress.others = Others(durable, searchable)
        self._show_others()
        self._telling.tell(moved=True)
        self.moved()
        self._on_progress()

    def _show_others(self) -> None:
        """Whoever waits for others' documents waits for no refresh of theirs: ours shows them."""
        if self.progress.others is not NOBODY:
            for index in filter(self._awaited.awaits, self._projections):
                self.progress.touched_beside(index)
        self._refreshers.wake()

    def _on_progress(self) -> None:
        self._acknowledged.set()
        self._wake()

    def fail(self, error: BaseException) -> None:
        """A thread has ended by `error`: whoever waits raises it. Any thread calls it."""
        if isinstance(error, SchemaChangedError):
            self.schema_change = self.schema_change or error
        else:
            self._failure = self._failure or error
            if not isinstance(error, StartAgainError):
                self.metrics.failed()
        self._on_progress()
