"""A start: looks the tables up, compiles the mappings, and makes what they lack.

The first one of a process, or one in place because what it went by holds no longer: then a system
that can't be reached is waited for, and everything else is as at any start.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from cdc_daemon.adopting import Beside, waits_because, without_state
from cdc_daemon.claim import Claim
from cdc_daemon.covering import Covered
from cdc_daemon.errors import (
    CdcError,
    RetryError,
    SchemaChangedError,
    SettingError,
    ShareChangedError,
    SinkError,
    SlotInUseError,
    SourceError,
    StopError,
    TakenOverError,
)
from cdc_daemon.events import NOWHERE, Load
from cdc_daemon.generations import create, drop, publish
from cdc_daemon.keyless import keyless
from cdc_daemon.pipeline import Stopped
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.projection.showing import Showing
from cdc_daemon.reaching import Reaching
from cdc_daemon.resuming import loads_of, resume, unsearched
from cdc_daemon.shapes import difference
from cdc_daemon.statestart import StateStart
from cdc_daemon.unloaded import require_may_load, require_may_lose

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.events import Checkpoint, Coverage, Generation, Position, Shape
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import Sink, Source
    from cdc_daemon.projection.compiler import Compiled
    from cdc_daemon.resuming import Found, Resumption
    from cdc_daemon.sharing.replica import Replica
    from cdc_daemon.state import Store

log = structlog.get_logger(__name__)

LEADER_SECONDS: Final = 1.0
"""How often it is looked whether the leader has made what others go on with."""
ALONE_SECONDS: Final = 0.1
"""How often it is looked whether the others have left what is to be loaded."""


class Begun(NamedTuple):
    """What a start has come to."""

    compiled: Compiled
    checkpoint: Checkpoint
    """To go on from."""
    written: Position
    """No document that is there has a higher version."""
    store: Store | None
    """The state of joined read models, if there are any."""
    known_since: Position | None = NOWHERE
    """All documents that were touched later are known there; None: rows are lacking still."""


class Start:
    """The starts of one process. One thread, the reader, makes them."""

    def __init__(  # noqa: PLR0913 - what it is connected to
        self,
        loaded: LoadedConfiguration,
        source: Source,
        sink: Sink,
        metrics: Metrics,
        stopping: threading.Event,
        standing_by: Callable[[], None],
        *,
        replica: Replica | None = None,
    ) -> None:
        self._replica = replica
        self._loaded = loaded
        self._configuration = loaded.configuration
        self._source = source
        self._sink = sink
        self._metrics = metrics
        self._stopping = stopping
        self._standing_by = standing_by
        self._claim = Claim(self._configuration, source, sink)
        self._read_again: dict[str, tuple[str, Shape | None]] = {}
        """Tables read again because of what a reader of rows met: why, and their shape."""
        self.shapes = source.shape_reader()
        """What tables look like; between two starts it is somebody else's."""
        self._tables = self._configuration.tables
        self._shapes: Mapping[str, Shape] = {}
        """Those that the mappings are compiled for."""
        self.reaching = Reaching()
        self.is_ours = replica is None and not self._configuration.standby
        """Whether the source is ours to follow, as far as we know: no other daemon's."""
        self._state = StateStart(self._configuration, source.show, metrics, replica)
        self._beside = Beside(self._configuration, source, sink, self._claim, self.reaching)
        self._unexplained: SchemaChangedError | None = None
        """What the stream has shown of a table, until a start has seen to it."""

    def again(self, change: Exception) -> None:
        """The next start is one in place, because of that."""
        self.reaching.is_first = False
        if isinstance(change, SlotInUseError | TakenOverError):
            self.is_ours = False
        if isinstance(change, SchemaChangedError) and not change.in_catalog:
            self._unexplained = change

    def begin(self) -> Begun:
        """What is to be done, and from where on.

        Raises SchemaChangedError where a table has changed once more meanwhile, Stopped when a stop
        is asked for.
        """
        try:
            with self._source.starting():
                begun = self._begin()
        except BaseException as error:
            self.let_go()
            if isinstance(error, StopError):
                self._require_unchanged(error)
            raise
        self.reaching.is_first = False  # whoever can't be reached from now on has been there
        return begun

    def let_go(self) -> None:
        """What was begun is over."""
        self._state.let_go()

    def _require_unchanged(self, error: StopError) -> None:
        """Tables are looked at again and again: what is wrong may be that two looks don't fit."""
        if not self._shapes:
            return
        with suppress(RetryError):
            shapes = self.shapes.read(self._tables)
            for table, before in self._shapes.items():
                if shapes.get(table) != before:
                    why = f"just now, while it was looked at ({error})"
                    raise SchemaChangedError(table, why, in_catalog=True) from error

    def _let_commit_go(self) -> None:
        """What shows a change may wait for us, and nobody sees the change before."""
        change = self._unexplained
        if change is not None and any(change.shown_by):
            with self.reaching.reachable("source", SourceError):
                self._source.let_commit_go(change.shown_by[1])

    def _begin(self) -> Begun:
        if self._replica is not None and not self._replica.leads:
            self.is_ours = False
            return self._follow(self._replica)
        self._let_commit_go()
        compiled, shapes = self._compile()
        with self.reaching.reachable("sink", SinkError):
            self._sink.preflight(compiled.models)
            kept = self._claim.kept(self._stopping, self._stand_by)
        if self._stopping.is_set():
            raise Stopped
        self.is_ours = True
        if self._configuration.standby:  # it may have waited for days
            self.shapes.close()
            compiled, shapes = self._compile()
        begun = self._resume(compiled, shapes, kept)
        self._unexplained = None
        return begun

    def _stand_by(self) -> None:
        self.is_ours = False
        self._standing_by()

    def _follow(self, replica: Replica) -> Begun:
        """Go on with what the leader has made, once it has; make nothing but a state of our own."""
        said = None
        while not replica.leads:
            compiled, shapes = self._compile()
            found, resumption = self._beside.look(compiled, shapes)
            self.reaching.is_first = False  # both were reached: from now on they are waited for
            if (why := waits_because(found, resumption)) is None:
                return self._adopt(compiled, found, resumption)
            self._unexplained = None  # the leader sees to it
            if why != said:
                log.info("waiting_for_leader", why=why)
                self._standing_by()
                said = why
            replica.stand_back()
            replica.raise_failure()
            if self._stopping.wait(LEADER_SECONDS):
                raise Stopped
        raise ShareChangedError("the group has made us its leader")

    def _adopt(self, compiled: Compiled, found: Found, resumption: Resumption) -> Begun:
        change, self._unexplained = self._unexplained, None
        found = self._state.look(compiled.plans, found)
        if change is not None:
            found = without_state(found, change)  # and begin where all is known to be written
        else:
            resumption = self._state.begin_from(resumption)
        store = self._state.open(compiled.plans, found, resumption)
        since = self._state.known_since(compiled.plans, resumption.checkpoint)
        return Begun(compiled, resumption.checkpoint, resumption.written, store, since)

    def _require_all(self, replica: Replica, checkpoint: Checkpoint) -> None:
        """Where anything is to be loaded or written, all others leave it to us: they see it."""
        while (checkpoint.loads or checkpoint.building) and not replica.has_all():
            if not replica.leads:
                raise ShareChangedError("the group has made another one its leader")
            replica.raise_failure()
            if self._stopping.wait(ALONE_SECONDS):
                raise Stopped

    def _compile(self) -> tuple[Compiled, Mapping[str, Shape]]:
        """Look the tables up and compile the projections: nothing is touched.

        Their shapes come first: what changes in between is found by the next look at them.
        """
        names = self._tables
        try:
            with self.reaching.reachable("source", SourceError):
                if not self.reaching.is_first:
                    self._source.identity()  # another one by now, and shapes are read of that one
                shapes = self._shapes = self.shapes.read(names)
                relations = self._source.describe([TableRequest(name) for name in names])
        except SettingError as error:
            raise self._loaded.located("source", error) from error
        compiled = compile_projections(
            self._configuration.projections,
            dict(zip(names, relations, strict=True)),
            self._loaded.locate,
            Showing(self._sink.form, self._metrics.unrepresentable),
        )
        for projection, field in compiled.missing:
            log.warning("column_missing", projection=projection, field=field)
        for table, why, statement in keyless(compiled):
            log.warning("large_values_unreadable", table=table, why=why, sql=statement)
        return compiled, shapes

    def _resume(
        self, compiled: Compiled, shapes: Mapping[str, Shape], kept: Checkpoint | None
    ) -> Begun:
        """Check both sides, see where the pipeline was, and make what it lacks."""
        self._require_may_give_place_up(compiled, kept)
        found = self._look(compiled, shapes, kept)
        with self.reaching.reachable("sink", SinkError):
            resumption = resume(
                self._configuration.name,
                found,
                compiled.mapped,
                self._sink,
                self._source.show,
            )
        resumption = self._state.begin_from(resumption)
        self._require_progress(found, resumption)
        lacking = self._state.lacking_rows(compiled.plans, resumption)
        require_may_load(self._configuration, self._source, compiled, resumption, lacking)
        covered = self._covered(compiled, found, resumption)
        with self.reaching.reachable("sink", SinkError):
            resumption = self._claim.staked(resumption, kept)
            for gone in resumption.forgotten:
                log.warning("projection_removed", projection=gone.projection, index=gone.index)
            store = self._state.open(compiled.plans, found, resumption)
            checkpoint = self._with_loads(compiled, resumption, found, covered)
        if resumption.new_place:
            with self.reaching.reachable("source", SourceError):
                checkpoint = replace(checkpoint, position=self._source.create_place())
            with self.reaching.reachable("sink", SinkError):
                self._sink.checkpoints.store(checkpoint)
        self._publish_loaded(checkpoint)
        if self._replica is not None:
            self._require_all(self._replica, checkpoint)
        since = self._state.known_since(compiled.plans, checkpoint)
        return Begun(compiled, checkpoint, resumption.written, store, since)

    def _require_may_give_place_up(self, compiled: Compiled, kept: Checkpoint | None) -> None:
        """Where what is mapped takes another place: before ours is given up for it."""
        with self.reaching.reachable("source", SourceError):
            if self._source.keeps_place(compiled.relations) or self._source.place() is None:
                return
            found = self._claim.found(kept, {})
        name, show = self._configuration.name, self._source.show
        with self.reaching.reachable("sink", SinkError):
            found = replace(found, place=None)
            resumption = resume(name, found, compiled.mapped, self._sink, show)
        require_may_lose(resumption, self._configuration.backfill.when_lost)
        lacking = {plan.name for plan in compiled.plans}
        require_may_load(self._configuration, self._source, compiled, resumption, lacking)

    def _look(
        self, compiled: Compiled, shapes: Mapping[str, Shape], kept: Checkpoint | None
    ) -> Found:
        with self.reaching.reachable("source", SourceError):
            memberships = self._source.prepare(compiled.relations)
            found = self._claim.found(kept, memberships)
        found = replace(found, shapes=shapes, unexplained=self._unexplained)
        return self._state.look(compiled.plans, found)

    def _publish_loaded(self, checkpoint: Checkpoint) -> None:
        with self.reaching.reachable("sink", SinkError):
            unfinished = unsearched(checkpoint)
            for name, generation in checkpoint.generations.items():
                if name not in unfinished:
                    publish(self._sink, generation)

    def _require_progress(self, found: Found, resumption: Resumption) -> None:
        """What a load was to cover can't come once more."""
        change = found.unexplained
        if change is None or resumption.altered.get(change.table) != change.why:
            return
        if self._is_covered(change, found):
            raise SourceError(
                f"changes of table {change.table} can't be understood: {change.why}. Its rows have "
                "been read again because of that, and the catalog shows no change since: this is "
                "a bug of cdc-daemon, please report it"
            )

    def _is_covered(self, change: SchemaChangedError, found: Found) -> bool:
        """Whether the rows of the table have been read again because of that very change."""
        if any(change.shown_by) and found.checkpoint is not None:
            coverage = found.checkpoint.covered.get(change.table)
            return coverage is not None and self._covers(coverage, change)
        here = (change.why, found.shapes.get(change.table))
        was_read = self._read_again.get(change.table) == here
        self._read_again[change.table] = here
        return was_read

    def _covers(self, coverage: Coverage, change: SchemaChangedError) -> bool:
        """Whether a load of that coverage has what the transaction did that shows the change."""
        covered = Covered(coverage, self._source.visibility(coverage.seen))
        return covered.leaves_out(*change.shown_by)

    def _covered(
        self, compiled: Compiled, found: Found, resumption: Resumption
    ) -> dict[str, Coverage]:
        """What is left to the loads of tables that have changed: all that is visible by now.

        Raises SchemaChangedError where a table has changed once more since it was compiled.
        """
        if not resumption.altered:
            return {}
        tables = [relation.qualified_name for relation in compiled.relations]
        with self.reaching.reachable("source", SourceError):
            coverage = self._source.coverage()
            shapes = self.shapes.read(tables)
        change = found.unexplained
        if change is not None and any(change.shown_by) and not self._covers(coverage, change):
            raise RetryError(
                f"{change}. Its rows are read again once the transaction that shows it is visible: "
                "it may wait for a synchronous standby",
                reason="unseen",
            )
        for relation in compiled.relations:
            table = relation.qualified_name
            why = difference(found.shapes.get(table), shapes.get(table), relation)
            if why is not None:
                raise SchemaChangedError(table, why, in_catalog=True)
        return dict.fromkeys(resumption.altered, coverage)

    def _with_loads(
        self,
        compiled: Compiled,
        resumption: Resumption,
        found: Found,
        covered: Mapping[str, Coverage],
    ) -> Checkpoint:
        """Make the generations that are lacking, and note what is to be loaded, and why."""
        for name, reason in resumption.anew.items():
            log.warning("new_generation", projection=name, reason=reason)
        made = create(
            [model for model in compiled.models if model.name in resumption.anew],
            self._sink,
        )
        before = resumption.checkpoint
        built = [plan.name for plan in compiled.plans if plan.name in made]
        checkpoint = replace(
            before,
            state_id=self._state.id,
            building=(*before.building, *built),
            generations={**before.generations, **made},
            loads=(*before.loads, *self._loads(compiled, resumption, made, covered)),
            shapes=dict(found.shapes),
            covered={**before.covered, **covered},
        )
        if checkpoint == resumption.claim:
            return checkpoint
        try:
            # Not before others are made, which would have their names: a process that was frozen
            # would go on writing there, where nobody remembers what was deleted meanwhile.
            drop(resumption.left_over, self._sink)
            self._sink.checkpoints.store(checkpoint)
        except CdcError:
            with suppress(CdcError):
                drop(list(made.values()), self._sink)
            raise
        return checkpoint

    def _loads(
        self,
        compiled: Compiled,
        resumption: Resumption,
        made: Mapping[str, Generation],
        covered: Mapping[str, Coverage],
    ) -> Sequence[Load]:
        """Those that nobody does without: none in the mode `never`."""
        if self._configuration.backfill.mode == "never":
            return []
        repairs = [
            Load(table, names, since=covered[table].floor, why=resumption.altered[table])
            for table, names in resumption.repaired.items()
        ]
        return [*loads_of(made, compiled.projections, resumption.joined), *repairs]
