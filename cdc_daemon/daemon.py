"""The daemon: from a configuration to a running pipeline, until it is told to stop."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from cdc_daemon import __version__, registry
from cdc_daemon import log as logging
from cdc_daemon.backfill.backfill import Backfill
from cdc_daemon.backfill.control import Control
from cdc_daemon.backfill.filler import HoleFiller
from cdc_daemon.claim import Claim
from cdc_daemon.config.loader import load as load_configuration
from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.errors import (
    CdcError,
    RetentionLimitError,
    RetryError,
    SettingError,
    SinkError,
    SlotInUseError,
    SourceError,
    StartAgainError,
    StopError,
    TakenOverError,
)
from cdc_daemon.generations import create, drop, publish
from cdc_daemon.metrics import Metrics
from cdc_daemon.pipeline import Pipeline, Stopped
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import Compiled, compile_projections
from cdc_daemon.projection.showing import Showing
from cdc_daemon.resuming import being_filled, loads_of, resume
from cdc_daemon.signals import signals_handled
from cdc_daemon.web.server import WebServer
from cdc_daemon.web.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.events import Checkpoint, Position
    from cdc_daemon.ports import Sink, Source
    from cdc_daemon.resuming import Resumption

log = structlog.get_logger(__name__)

STOP_GRACE_SECONDS: Final = 2.0
"""What a stop takes beside its deadline; all that it takes before anything has been read."""


class Daemon:
    """One pipeline in one process."""

    def __init__(self, loaded: LoadedConfiguration, environ: Mapping[str, str]) -> None:
        self._loaded = loaded
        self._environ = environ
        self._configuration = loaded.configuration
        config = self._configuration
        self._source: Source = registry.source_factory(_type(config.source))(
            config.source, pipeline=config.name
        )
        self._sink: Sink = registry.sink_factory(_type(config.sink))(
            config.sink, pipeline=config.name
        )
        self.metrics = Metrics(config.name, config.memory.queue)
        self.metrics.configured(loaded.fingerprint)
        self.status = Status(loaded, self.metrics)
        self._stop = threading.Event()
        self._stop_asked_at = 0.0
        self._at_once = threading.Event()
        self._failure: BaseException | None = None
        self._starts_again = False
        self._claim = Claim(config, self._source, self._sink)

    def run(self) -> None:
        """Run until stopped. Raises what ended it; call it in the main thread."""
        with ExitStack() as stack:
            stack.callback(self._sink.close)
            stack.enter_context(signals_handled(self._stop, self.stop, self._loaded, self._environ))
            web = WebServer(self._configuration.web, self.status)
            stack.callback(web.stop)
            web.start()
            reader = threading.Thread(target=self._read, name="reader", daemon=True)
            reader.start()
            while reader.is_alive() and not self._overdue():
                reader.join(0.2)
            if not reader.is_alive():  # it owns the connections: while it lives, nobody closes them
                self._source.close()
        if self._failure is not None:
            raise self._failure

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it to stop: in order, or at once."""
        if not self._stop.is_set():
            self._stop_asked_at = time.monotonic()
        self._stop.set()
        if at_once:
            self._at_once.set()
        self._source.wake()

    def _overdue(self) -> bool:
        """Whether a stop waits for the reader no longer: it may wait for a slot, or a server."""
        if not self._stop.is_set() or self._at_once.is_set():
            return self._at_once.is_set()
        unread = self.status.state == "starting"
        limit = STOP_GRACE_SECONDS + (0 if unread else self._configuration.shutdown.deadline)
        return time.monotonic() - self._stop_asked_at > limit

    def _read(self) -> None:
        try:
            while not self._stop.is_set():
                for attempt in retrying():
                    with attempt:
                        self._run_once()
        except Stopped:
            pass
        except (CdcError, Exception) as error:  # noqa: BLE001 - raised again by the main thread
            self.metrics.failed()
            self._failure = error

    def _run_once(self) -> None:
        """Run until stopped, or until only another start, in this process, would do right."""
        if self._stop.is_set():
            raise Stopped
        try:
            self._run_pipeline()
        except (StartAgainError, SlotInUseError, TakenOverError) as change:
            if isinstance(change, StopError) and not self._configuration.standby:
                raise
            self._starts_again = True
            log.warning("starting_again", why=str(change))
        except RetryError as error:
            log.warning("start_retry", reason=error.reason, error=str(error))
            self.metrics.failed()
            self._state("waiting")
            raise

    def _run_pipeline(self) -> None:
        self._state("starting")
        self.status.control = None
        compiled = self._compile()
        checkpoint, written = self._resume(compiled)
        monitor = Monitor(self._source.clock(), self.metrics)
        self.status.watch(monitor)
        with self._reachable("sink", SinkError):
            delivery = self._delivery(compiled, checkpoint, monitor)
        monitor.start()
        try:
            with self._reachable("sink", SinkError):
                delivery.start()
            delivery.resume(checkpoint, written)
            self._follow(compiled, checkpoint, delivery)
        except RetentionLimitError as limit:
            self._give_up_place(limit)
            raise
        finally:
            delivery.close()
            monitor.stop()

    def _give_up_place(self, limit: RetentionLimitError) -> None:
        """The disk of the source counts more than how fresh the read models are."""
        try:
            self._source.give_up_place()
        except CdcError as error:
            raise RetentionLimitError(f"{limit}. That failed: {error}") from error

    def _compile(self) -> Compiled:
        """Look the tables up and compile the projections: nothing is touched."""
        projections = self._configuration.projections
        names = list(dict.fromkeys(config.table for config in projections.values()))
        try:
            with self._reachable("source", SourceError):
                relations = self._source.describe([TableRequest(name) for name in names])
        except SettingError as error:
            raise self._loaded.located("source", error) from error
        return compile_projections(
            projections,
            dict(zip(names, relations, strict=True)),
            self._loaded.locate,
            Showing(self._sink.form, self.metrics.unrepresentable),
        )

    def _resume(self, compiled: Compiled) -> tuple[Checkpoint, Position]:
        """Check both sides, see where the pipeline was, and make what it lacks.

        Gives the checkpoint to go on from, and the highest version that there may be by now.
        """
        with self._reachable("sink", SinkError):
            self._sink.preflight([projection.model for projection in compiled.projections])
            kept = self._claim.kept(self._stop, lambda: self._state("standby"))
        if self._stop.is_set():
            raise Stopped
        with self._reachable("source", SourceError):
            memberships = self._source.prepare(compiled.relations)
            found = self._claim.found(kept, memberships)
        with self._reachable("sink", SinkError):
            resumption = resume(
                self._configuration.name,
                found,
                compiled.projections,
                self._sink,
                self._source.show,
            )
            resumption = self._claim.staked(resumption, kept)
            drop(resumption.left_over, self._sink)
            for gone in resumption.forgotten:
                log.warning("projection_removed", projection=gone.projection, index=gone.index)
            checkpoint = self._with_new_generations(compiled, resumption)
        if resumption.new_place:
            with self._reachable("source", SourceError):
                checkpoint = replace(checkpoint, position=self._source.create_place())
            with self._reachable("sink", SinkError):
                self._sink.checkpoints.store(checkpoint)
        with self._reachable("sink", SinkError):
            unfinished = being_filled(checkpoint.loads)
            for name, generation in checkpoint.generations.items():
                if name not in unfinished:
                    publish(self._sink, generation)
        return checkpoint, resumption.written

    def _with_new_generations(self, compiled: Compiled, resumption: Resumption) -> Checkpoint:
        """Make the generations that are lacking, and note what is to be loaded into them."""
        if not resumption.anew:
            return resumption.checkpoint
        for name, reason in resumption.anew.items():
            log.warning("new_generation", projection=name, reason=reason)
        made = create(
            [each.model for each in compiled.projections if each.name in resumption.anew],
            self._sink,
        )
        never = self._configuration.backfill.mode == "never"
        if never and (full := sorted(resumption.anew.keys() & resumption.replaced)):
            raise StopError(
                f"{', '.join(full)} must be loaded anew ({resumption.anew[full[0]]}), and "
                "backfill.mode is never: the documents that are there would be lost. Set it to "
                "initial; or rename the projection to begin with an empty read model"
            )
        loads = loads_of(() if never else made, compiled.projections, resumption.joined)
        before = resumption.checkpoint
        checkpoint = replace(
            before,
            generations={**before.generations, **made},
            loads=(*before.loads, *loads),
        )
        try:
            self._sink.checkpoints.store(checkpoint)
        except CdcError:
            with suppress(CdcError):
                drop(list(made.values()), self._sink)
            raise
        return checkpoint

    def _delivery(self, compiled: Compiled, checkpoint: Checkpoint, monitor: Monitor) -> Delivery:
        delivery = Delivery(
            configuration=self._configuration,
            sink=self._sink,
            projections={
                checkpoint.generations[projection.name].index: projection
                for projection in compiled.projections
            },
            monitor=monitor,
            metrics=self.metrics,
            wake=self._source.wake,
        )
        self.status.follow(delivery, self._source)
        return delivery

    def _follow(self, compiled: Compiled, checkpoint: Checkpoint, delivery: Delivery) -> None:
        backfill = self._backfill(compiled, checkpoint, delivery)
        filler = HoleFiller(self._source, delivery)
        pipeline = Pipeline(
            source=self._source,
            source_id=checkpoint.source_id,
            relations=compiled.relations,
            indices=[
                (projection, checkpoint.generations[projection.name].index)
                for projection in compiled.projections
            ],
            delivery=delivery,
            backfill=backfill,
            filler=filler,
            transaction_bytes=self._configuration.memory.transaction,
            spill_folder=self._configuration.state.path / "spill",
            stopping=self._stop.is_set,
            state=self._state,
        )
        try:
            try:
                pipeline.follow_for_ever(checkpoint.position)
            finally:
                backfill.close()
                filler.close()
        except StartAgainError:
            self._drain(delivery, pipeline)
            raise
        self._state("stopping")
        log.info("stopped", drained=self._drain(delivery, pipeline))

    def _drain(self, delivery: Delivery, pipeline: Pipeline) -> bool:
        deadline = time.monotonic() + self._configuration.shutdown.deadline
        return delivery.drain(deadline, pipeline.report)

    def _backfill(self, compiled: Compiled, checkpoint: Checkpoint, delivery: Delivery) -> Backfill:
        config = self._configuration
        backfill = Backfill(
            config=config.backfill,
            source=self._source,
            sink=self._sink,
            delivery=delivery,
            generations=checkpoint.generations,
            queue_bytes=config.memory.queue,
            all_loaded=self._all_loaded,
        )
        backfill.begin(checkpoint.loads, compiled)
        self.status.load(backfill, Control(backfill, compiled, delivery))
        if config.backfill.mode == "only" and not checkpoint.loads:
            self._all_loaded()
        return backfill

    def _all_loaded(self) -> None:
        """Nothing is left to be loaded."""
        if self._configuration.backfill.mode == "only":
            log.info("stopping", why="all is loaded, and backfill.mode is only")
            self.stop()

    @contextmanager
    def _reachable(self, side: str, stop: type[SourceError | SinkError]) -> Iterator[None]:
        """When the process starts, what can't be reached is a mistake to report, not to retry."""
        try:
            yield
        except RetryError as error:
            if self._starts_again:
                raise
            said = str(error)
            end = "" if said.endswith((".", "?")) else "."
            raise stop(
                f"{said}{end} Check that it runs, and the address in the `{side}` section."
            ) from error

    def _state(self, state: str) -> None:
        if state == self.status.state:
            return
        self.metrics.state(state)
        self.status.state = state


def run_daemon(path: Path, environ: Mapping[str, str]) -> None:
    """Run the configuration at `path` until SIGTERM. Raises CdcError with what to do."""
    loaded = load_configuration(path, environ)
    logging.configure(loaded.configuration.log, pipeline=loaded.configuration.name)
    log.info("starting", version=__version__, configuration=loaded.fingerprint)
    tune_garbage_collection()
    Daemon(loaded, environ).run()


def tune_garbage_collection() -> None:
    """Look for reference cycles seldom: rows and documents are never in one.

    With 100,000 operations in the queues, decoding and dispatching a change cost 7.7 us under the
    default thresholds and 5.0 us under these (CPython 3.11).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _type(section: Any) -> str:
    return str(section.type)
