"""Who takes posted changes just now: made when the stream of a start has begun, gone with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.ports import TakesChanges, Versioned
from cdc_daemon.posted.beside import Beside
from cdc_daemon.posted.body import Bodies
from cdc_daemon.posted.documents import Documents, key_of
from cdc_daemon.posted.instream import GivenSource, InStream
from cdc_daemon.posted.outcome import NotServingError
from cdc_daemon.posted.rows import Expected
from cdc_daemon.posted.writing import WRITERS, Writing

if TYPE_CHECKING:
    from collections.abc import Collection

    from cdc_daemon.config.changes import ChangesConfig
    from cdc_daemon.config.models import Configuration
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Checkpoint
    from cdc_daemon.ports import Sink, Source, Writer
    from cdc_daemon.posted.outcome import Taker
    from cdc_daemon.projection.compiler import Compiled


class Posts:
    """Of one daemon; outlives its starts. Any thread calls it, but for `begin` and `end`."""

    def __init__(self, configuration: Configuration, source: Source, sink: Sink) -> None:
        """Raises ConfigurationError where the source can't have changes posted beside it."""
        self._configuration = configuration
        self._source = source
        self._sink = sink
        self._taker: Taker | None = None
        if isinstance(source, TakesChanges):
            _require_fitting(configuration)
        elif self.terms is not None and not isinstance(source, Versioned):
            raise ConfigurationError(
                "web.changes: nothing can be posted beside this source, since it gives many "
                "commits one position: a version that was read before one of them can lie above "
                "all of them, and would never be repaired. Take web.changes out, or follow the "
                "database by logical replication (source.type: postgres)"
            )

    @property
    def terms(self) -> ChangesConfig | None:
        """Under which terms; None: nothing is taken."""
        return self._configuration.web.changes

    @property
    def taker(self) -> Taker:
        """Who takes them. Raises NotServingError."""
        if self._taker is None:
            raise NotServingError("the daemon starts, stands by, or waits: send it again")
        return self._taker

    def look(self) -> None:
        """A position may have moved."""
        if self._taker is not None:
            self._taker.look()

    def begin(self, compiled: Compiled, checkpoint: Checkpoint, delivery: Delivery) -> None:
        """The stream has begun, or has begun again. The reader calls it."""
        if self.terms is None:
            return
        self.end()
        if isinstance(self._source, TakesChanges):
            given = GivenSource(self._source, self._source, self._source.identity())
            bodies = self._bodies(compiled, self.terms, versioned=False)
            self._taker = InStream(bodies=bodies, given=given, pipeline=delivery)
        elif isinstance(self._source, Versioned):
            bodies = self._bodies(compiled, self.terms, versioned=True)
            self._taker = self._beside(self._source, bodies, compiled, checkpoint, delivery)

    def end(self) -> None:
        """Nothing is taken any more. The reader calls it."""
        taker, self._taker = self._taker, None
        if taker is not None:
            taker.close()

    def _bodies(self, compiled: Compiled, terms: ChangesConfig, *, versioned: bool) -> Bodies:
        tables = {relation.qualified_name: relation for relation in compiled.relations}
        keys = {name: key_of(relation) for name, relation in tables.items()}
        return Bodies(
            Expected(tables, keys, truncates=not versioned),
            versioned=versioned,
            most_changes=terms.max_changes,
            longest_seconds=self._configuration.consistency.max_timeout,
        )

    def _beside(
        self,
        source: Versioned,
        bodies: Bodies,
        compiled: Compiled,
        checkpoint: Checkpoint,
        delivery: Delivery,
    ) -> Beside:
        generations, joined = checkpoint.generations, [plan.name for plan in compiled.plans]
        flat = {generations[one.name].index: one for one in compiled.projections}
        beside = Beside(
            bodies=bodies,
            documents=Documents(flat, joined),
            versions=source.version_reader(),
            stream=delivery.beside,
            covered_until={table: one.end for table, one in checkpoint.covered.items()},
            most_waiting=0 if self.terms is None else self.terms.max_waiting,
        )
        for number in range(WRITERS):
            clock = self._source.clock()
            Writing(beside, self._writers(flat), clock, delivery.fail, number).start()
        return beside

    def _writers(self, indices: Collection[str]) -> dict[str, Writer]:
        """By index; those of one sink share one."""
        places = {index: self._sink.place(index) for index in indices}
        writers = {place: self._sink.writer(place) for place in {*places.values()}}
        return {index: writers[place] for index, place in places.items()}


def _require_fitting(configuration: Configuration) -> None:
    """Where the source is what is posted. Raises ConfigurationError."""
    if configuration.web.changes is None:
        raise ConfigurationError(
            "the source is what applications post, and nothing is taken: set web.changes, with a "
            "key in web.changes.keys"
        )
    if configuration.standby:
        raise ConfigurationError(
            "standby: this source has nothing that would tell two daemons apart, so both would be "
            "posted to: run one, and let it be started again where it dies"
        )
