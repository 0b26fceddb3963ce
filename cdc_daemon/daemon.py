"""The daemon: from a configuration to a running pipeline, until it is told to stop."""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from cdc_daemon import registry
from cdc_daemon.backfill.backfill import RECENT, Backfill
from cdc_daemon.backfill.control import Control
from cdc_daemon.backfill.filler import HoleFiller
from cdc_daemon.backfill.joinedloads import JoinedLoads
from cdc_daemon.consistency.logend import LogEnd
from cdc_daemon.consistency.spans import Spans
from cdc_daemon.consistency.watching import Watching
from cdc_daemon.covering import covered_tables
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.errors import (
    ManyLeftOutError,
    RetryError,
    SchemaChangedError,
    ShareChangedError,
    SinkError,
    SlotInUseError,
    StartAgainError,
    StopError,
    TakenOverError,
)
from cdc_daemon.joining import Heartbeat, Joiner
from cdc_daemon.lifetime import Lifetime
from cdc_daemon.localfiles import require_folder
from cdc_daemon.metrics import Metrics
from cdc_daemon.pipeline import Pipeline
from cdc_daemon.ports import KeepsFiles
from cdc_daemon.posted.posts import Posts
from cdc_daemon.schemawatch import SchemaWatch
from cdc_daemon.sharing.part import Unstored
from cdc_daemon.sharing.replica import Replica
from cdc_daemon.sharing.slots import EVERYTHING
from cdc_daemon.sharing.terms import Role, require_waitable, shareable
from cdc_daemon.sinks import open_sink
from cdc_daemon.starting import Start
from cdc_daemon.web.routes import application
from cdc_daemon.web.status import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.ports import Sink, Source
    from cdc_daemon.sharing.part import Part
    from cdc_daemon.starting import Begun

log = structlog.get_logger(__name__)

DRAIN_SECONDS: Final = 1.0
"""How often a stop is looked for while all is written that was read before a table changed."""


class Daemon:
    """One pipeline in one process."""

    def __init__(
        self, loaded: LoadedConfiguration, environ: Mapping[str, str], *, role: Role = "alone"
    ) -> None:
        self._configuration = loaded.configuration
        config = self._configuration
        self._source: Source = registry.source_factory(_type(config.source))(
            config.source, pipeline=config.name
        )
        if isinstance(self._source, KeepsFiles):
            self._source.keep_in(config.state.path)
        self._sink: Sink = open_sink(config)
        self.metrics = Metrics(config.name, config.memory.queue)
        self.metrics.configured(loaded.fingerprint)
        self._spans = None if config.tracing is None else Spans(config.tracing, config.name)
        self.status = Status(loaded, self.metrics)
        strong = config.consistency.strong
        self._watching = Watching(
            *(self._source, self.metrics, self.status.watch, strong, self._spans),
            relayed=role != "alone",
        )
        self._posts = Posts(config, self._source, self._sink)
        self._lifetime = Lifetime(
            loaded,
            environ,
            wake=self._source.wake,
            has_read=lambda: self.status.state != "starting",
        )
        self._stop = self._lifetime.stopping
        require_waitable(role, config)
        self._replica = None if role == "alone" else self._as_replica()
        self._before: Delivery | None = None
        self._loads_before: Backfill | None = None
        """Those of the start before, where this one is in place."""
        self._recent: deque[int] = deque(maxlen=RECENT)
        """Outlives a start in place: `Backfill.recent`."""
        self._start = Start(
            *(loaded, self._source, self._sink, self.metrics, self._stop, self._stand_by),
            replica=self._replica,
        )

    def _as_replica(self) -> Replica:
        """Raises ConfigurationError where documents can't be shared."""
        config = self._configuration
        replica = Replica(shareable(self._source, config), self._sink, config.name)
        self.status.share(replica)
        return replica

    def run(self) -> None:
        """Run until stopped. Raises what ended it; call it in the main thread."""
        require_folder(self._configuration.state.path)
        with ExitStack() as stack:
            stack.callback(self._sink.close)
            if self._spans is not None:
                stack.callback(self._spans.close)
            if self._replica is not None:
                stack.enter_context(self._replica)
            web = application(self.status, self._posts, self._configuration.web.api_key)
            if self._lifetime.last(self._run_once, web, self._ended):
                # The reader owns the connections: while it lives, nobody closes them.
                self._start.shapes.close()
                self._source.close()
        if self._lifetime.failure is not None:
            raise self._lifetime.failure

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it to stop: in order, or at once."""
        self._lifetime.stop(at_once=at_once)

    def _ended(self, failed: bool) -> None:  # noqa: FBT001 - as `Lifetime.last` tells it
        if failed:
            self.metrics.failed()
        self._watching.forget()
        self.status.waiters.stop()

    def _run_once(self) -> None:
        """Run until stopped, or until only another start, in this process, would do right."""
        try:
            self._run_pipeline()
        except (StartAgainError, SlotInUseError, TakenOverError) as change:
            alone = not self._configuration.standby and self._replica is None
            if isinstance(change, StopError) and alone:
                raise
            self._start.again(change)
            self._recent.clear()  # in another history the numbers are others'
            self._watching.forget()
            log.warning("starting_again", why=str(change))
        except RetryError as error:
            log.warning("start_retry", reason=error.reason, error=str(error))
            if self._start.is_ours:
                self._watching.go_on()
            self.metrics.failed()
            self._state("waiting", str(error))
            raise

    def _run_pipeline(self) -> None:
        log_end = LogEnd(self._source.clock(), self.status.waiters.ends_at)
        log_end.start()
        self.status.reach(log_end)
        try:
            with self._watching.limited():
                while not self._stop.is_set():
                    self._run_until_start()
        finally:
            log_end.stop()

    def _run_until_start(self) -> None:
        """Run until the next start, which goes on with what is watched, and follows it."""
        try:
            self._run_until_changed()
        except ShareChangedError as change:
            self._start.again(change)
            log.info("share_changed", why=str(change))
        except ManyLeftOutError as many:
            self._start.again(many)
            log.warning("rows_read_again", table=many.table, why=many.why)
        except SchemaChangedError as change:
            self._start.again(change)
            self.metrics.schema_changed(change.table)
            log.warning("schema_changed", table=change.table, why=change.why)

    def _run_until_changed(self) -> None:
        """Run with the tables as they are now. Raises SchemaChangedError when one changes."""
        self._state("starting")
        self.status.control = None
        if self._before is not None:
            self._before.let_end(self._stop)
        with ExitStack() as stack:
            if self._replica is not None:
                stack.enter_context(self._replica.joined(self._start.reaching, self._stop))
            begun = self._start.begin()
            stack.callback(self._start.let_go)
            self._run_begun(begun)

    def _run_begun(self, begun: Begun) -> None:
        part = self._part(begun)
        with self._start.reaching.reachable("sink", SinkError):
            delivery = self._before = self._delivery(begun, part)
        try:
            with self._start.reaching.reachable("sink", SinkError):
                delivery.start()
            self._follow(begun, delivery, part)
        finally:
            delivery.close()
            if self._replica is not None:
                self._replica.end()

    def _part(self, begun: Begun) -> Part | None:
        """What is ours of it, where replicas share the documents."""
        if self._replica is None:
            return None
        joined = [plan.name for plan in begun.compiled.plans]
        return self._replica.begin(begun.checkpoint, joined, begun.known_since)

    def _delivery(self, begun: Begun, part: Part | None) -> Delivery:
        delivery = Delivery(
            configuration=self._configuration,
            sink=self._sink,
            projections={
                begun.checkpoint.generations[projection.name].index: projection
                for projection in begun.compiled.mapped
            },
            monitor=self._watching.followed(),
            metrics=self.metrics,
            wake=self._source.wake,
            checkpoints=None if part is None or part.seat.leads else Unstored(),
        )
        if part is not None:
            part.follow(delivery)
        self.status.follow(delivery, self._source)
        return delivery

    def _follow(self, begun: Begun, delivery: Delivery, part: Part | None) -> None:
        delivery.resume(begun.checkpoint, begun.written)
        joiner = self._joiner(begun, delivery, part)
        backfill = self._backfill(begun, delivery, joiner)
        filler = self._filler(begun, delivery, leads=part is None or part.seat.leads)
        pipeline = self._pipeline(begun, delivery, backfill, filler, joiner, part)
        watch = self._watch(begun, delivery)
        try:
            pipeline.follow_for_ever(begun.checkpoint.position)
        except SchemaChangedError as change:
            delivery.fail(change)
        except ShareChangedError:
            raise
        except StartAgainError:
            self._drain(delivery, pipeline)
            raise
        finally:
            self._posts.end()
            backfill.close()
            filler.close()
            watch.stop()
        while delivery.schema_change is not None and not self._stop.is_set():
            # All of it: what is still under way must not meet what is compiled anew.
            soon = time.monotonic() + DRAIN_SECONDS
            if delivery.drain(soon, pipeline.report, for_good=False):
                watch.join()
                raise delivery.schema_change
        self._state("stopping")
        log.info("stopped", drained=self._drain(delivery, pipeline))

    def _watch(self, begun: Begun, delivery: Delivery) -> SchemaWatch:
        watch = SchemaWatch(
            self._start.shapes,
            begun.compiled.relations,
            begun.checkpoint,
            delivery.fail,
            delivery.checkpointer.adopt,
        )
        watch.start()
        return watch

    def _filler(self, begun: Begun, delivery: Delivery, *, leads: bool) -> HoleFiller:
        made = begun.checkpoint.generations
        flat = {made[one.name].index: one for one in begun.compiled.projections}
        return HoleFiller(self._source, delivery, flat, leads=leads)

    def _let_wait(self, begun: Begun, delivery: Delivery) -> None:
        """Clients can post, and wait for positions; those who do already wait on this start."""
        delivery.moved = self._look
        self.status.waiters.follow(delivery, self._source.token_reader())
        self._posts.begin(begun.compiled, begun.checkpoint, delivery)

    def _look(self) -> None:
        self.status.waiters.look()
        self._posts.look()

    def _pipeline(
        self,
        begun: Begun,
        delivery: Delivery,
        backfill: Backfill,
        filler: HoleFiller,
        joiner: Joiner | None,
        part: Part | None,
    ) -> Pipeline:
        share = EVERYTHING if part is None else part.share
        compiled, checkpoint = begun.compiled, begun.checkpoint
        return Pipeline(
            source=self._source,
            source_id=checkpoint.source_id,
            relations=compiled.relations,
            indices=[
                (share.made(projection), checkpoint.generations[projection.name].index)
                for projection in compiled.projections
            ],
            delivery=delivery,
            backfill=backfill,
            filler=filler,
            transaction_bytes=self._configuration.memory.transaction,
            spill_folder=self._configuration.state.path / "spill",
            most_spilled_bytes=self._configuration.state.max_spill,
            stopping=lambda: self._stop.is_set() or delivery.schema_change is not None,
            state=self._state,
            connected=partial(self._let_wait, begun, delivery),
            joiner=joiner,
            covered=covered_tables(checkpoint.covered, self._source.visibility),
            share=share,
        )

    def _joiner(self, begun: Begun, delivery: Delivery, part: Part | None) -> Joiner | None:
        if begun.store is None:
            return None
        joiner = Joiner(
            store=begun.store,
            plans=begun.compiled.plans,
            indices=delivery.indices,
            delivery=delivery,
            memory=self._configuration.memory,
            folder=self._configuration.state.path / "spill",
            most_spilled_bytes=self._configuration.state.max_spill,
            covered=covered_tables(begun.checkpoint.covered, self._source.visibility),
            meanwhile=Heartbeat(self._source, delivery).beat,
            others=part,
        )
        joiner.begin()
        self.status.keep(begun.store)
        return joiner

    def _drain(self, delivery: Delivery, pipeline: Pipeline) -> bool:
        deadline = time.monotonic() + self._configuration.shutdown.deadline
        # Of several replicas none knows what the others have written.
        return delivery.drain(deadline, pipeline.report, for_good=self._replica is None)

    def _backfill(self, begun: Begun, delivery: Delivery, joiner: Joiner | None) -> Backfill:
        compiled, checkpoint = begun.compiled, begun.checkpoint
        joined = None
        if joiner is not None:
            joined = JoinedLoads(
                joiner, compiled.plans, delivery.indices, checkpoint.building, delivery.dispatcher
            )
        backfill = Backfill(
            config=self._configuration.backfill,
            source=self._source,
            sink=self._sink,
            delivery=delivery,
            generations=checkpoint.generations,
            all_loaded=self._all_loaded,
            recent=self._recent,
            unseen=checkpoint.unseen,
            joined=joined,
        )
        backfill.begin(checkpoint.loads, compiled)
        backfill.begin_joined()
        if self._loads_before is not None and self._loads_before.is_paused:
            backfill.pause(paused=bool(backfill.loads))  # until somebody resumes them
        self._loads_before = backfill
        self.status.load(backfill, Control(backfill, compiled, delivery))
        if not backfill.loads:
            self._all_loaded()
        return backfill

    def _all_loaded(self) -> None:
        """Nothing is left to be loaded."""
        if self._configuration.backfill.mode == "only":
            log.info("stopping", why="all is loaded, and backfill.mode is only")
            self.stop()

    def _stand_by(self) -> None:
        self._watching.forget()
        self._state("standby")

    def _state(self, state: str, trouble: str = "") -> None:
        self.status.trouble = trouble
        if state == self.status.state:
            return
        if state in {"standby", "stopping"}:
            self.status.waiters.stop()
        self.metrics.state(state)
        self.status.state = state


def _type(section: Any) -> str:
    return str(section.type)
