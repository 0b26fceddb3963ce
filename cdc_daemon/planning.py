"""What the next start will create, load and change, told beforehand: it decides as a start does.

Nothing is touched, and a daemon that runs isn't disturbed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from cdc_daemon.assembly import wanted
from cdc_daemon.claim import Claim
from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.joining.keeping import lacking_of, missing_of
from cdc_daemon.projection.joined.plan import Plan
from cdc_daemon.resuming import resume, tables_of, unsearched
from cdc_daemon.state import folder_of
from cdc_daemon.state.offline import foreseen
from cdc_daemon.state.schema import fitted
from cdc_daemon.statestart import here_of
from cdc_daemon.unloaded import require_may_load, require_may_lose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from cdc_daemon.configured import Configured
    from cdc_daemon.events import Generation, Relation
    from cdc_daemon.ports import ReadModel, Sink
    from cdc_daemon.resuming import Found, Mapped, Resumption

    Action: TypeAlias = Literal[
        "keep", "go on", "create", "load", "write", "extend", "publish", "slot", "state", "drop"
    ]

_NOT_YET: Final = "not in the publication"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the start does."""

    action: Action
    subject: str
    why: str


class Untouched:
    """The indices of a sink; fields are added to none."""

    def __init__(self, sink: Sink) -> None:
        self.find_generation = sink.find_generation
        self.is_searched = sink.is_searched
        self.extended: list[Step] = []

    def extend_generation(self, generation: Generation, model: ReadModel) -> bool:
        """As if it could."""
        fields = ", ".join(sorted(model.digests.keys() - generation.fields.keys()))
        self.extended.append(Step("extend", generation.index, f"column {fields} is new"))
        return True


def plan(configured: Configured) -> list[Step]:
    """The steps of the next start. Raises what a start would stop with."""
    try:
        return list(_Planning(configured).steps())
    except RetryError as error:
        raise SourceError(str(error)) from error


class _Planning:
    def __init__(self, configured: Configured) -> None:
        self._configured = configured
        self._config = configured.configuration
        self._mapped: Sequence[Mapped] = configured.compiled.mapped
        self._relations: Sequence[Relation] = configured.compiled.relations
        self._to_load = {name for one in configured.compiled.plans for name in tables_of(one)}
        """The tables of which the state lacks rows."""

    def steps(self) -> Iterator[Step]:
        """In the order of a start."""
        configured, untouched = self._configured, Untouched(self._configured.sink)
        found = self._found()
        show = configured.source.show
        resumption = resume(self._config.name, found, self._mapped, untouched, show)
        require_may_lose(resumption, self._config.backfill.when_lost)
        self._require_may_load(resumption)
        for table, membership in found.memberships.items():
            if membership == _NOT_YET:
                yield Step("publish", table, "it is not in the publication")
        if resumption.new_place:
            yield Step("slot", "", next(iter(resumption.anew.values()), "there is none"))
        begun_anew = self._begun_anew(found, resumption)
        if begun_anew is not None:
            yield Step("state", str(self._folder), f"begun anew: {begun_anew}")
        for one in self._mapped:
            yield from self._of(one, resumption)
        yield from untouched.extended
        yield from self._loads(resumption)
        for generation in resumption.left_over:
            yield Step("drop", generation.index, "it was being built, and is not gone on with")

    def _require_may_load(self, resumption: Resumption) -> None:
        configured, compiled = self._configured, self._configured.compiled
        tables = self._to_load | resumption.renewed
        lacking = {
            one.name for one in compiled.plans if resumption.new_place or tables_of(one) & tables
        }
        require_may_load(self._config, configured.source, compiled, resumption, lacking)

    def _begun_anew(self, found: Found, resumption: Resumption) -> str | None:
        """Why nothing counts that the state has; None where it does, or there is to be none."""
        plans = self._configured.compiled.plans
        if found.state_lost is None and resumption.new_place and plans:
            return resumption.anew[plans[0].name]
        return found.state_lost

    def _of(self, one: Mapped, resumption: Resumption) -> Iterator[Step]:
        reason = resumption.anew.get(one.name)
        if reason is not None:
            yield Step("create", f"a new index of {one.name}", reason)
            if isinstance(one, Plan):
                yield Step("write", one.name, "from the state, when all of it is there")
        else:
            is_building = one.name in unsearched(resumption.checkpoint)
            index = resumption.checkpoint.generations[one.name].index
            yield Step("go on" if is_building else "keep", index, "")

    def _loads(self, resumption: Resumption) -> Iterator[Step]:
        """The tables that are read, each once."""
        if self._config.backfill.mode == "never":
            return
        for relation in self._relations:
            table = relation.qualified_name
            readers = [one.name for one in self._mapped if self._reads(one, table, resumption)]
            if readers:
                yield Step("load", table, f"for {', '.join(readers)}")
            elif table in resumption.repaired:
                yield Step("load", table, resumption.altered[table])

    def _reads(self, one: Mapped, table: str, resumption: Resumption) -> bool:
        if table not in tables_of(one):
            return False
        if isinstance(one, Plan):
            return resumption.new_place or table in self._to_load | resumption.renewed
        return one.name in resumption.anew

    def _found(self) -> Found:
        source, sink = self._configured.source, self._configured.sink
        # Before the checkpoint: a daemon that runs beside us stores that, and then moves the place.
        place = source.place()
        kept = sink.checkpoints.load(self._config.name)
        members = source.memberships(self._relations)
        names = [relation.qualified_name for relation in self._relations]
        memberships = {name: members.get(name, _NOT_YET) for name in names}
        reader = source.shape_reader()
        try:
            shapes = reader.read(names)
        finally:
            reader.close()
        found = Claim(self._config, source, sink).found(kept, memberships)
        found = replace(found, shapes=shapes, place=place)
        if not source.keeps_place(self._relations):
            found = replace(found, place=None)
        return self._with_state(found) if self._configured.compiled.plans else found

    @property
    def _folder(self) -> Path:
        return folder_of(self._config.state.path, self._config.name)

    def _with_state(self, found: Found) -> Found:
        plans = self._configured.compiled.plans
        here = here_of(self._config.name, found)
        lost, schema = foreseen(self._folder, here, self._configured.source.show)
        if lost is not None:
            return replace(found, state_lost=lost)
        fitting = fitted(schema, wanted(plans))
        self._to_load = {*fitting.to_load}
        lacking = lacking_of(schema, fitting, plans)
        return replace(found, lacking=lacking, held={*missing_of(schema, plans)})
