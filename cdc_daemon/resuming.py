"""What a start finds, and what of it can be gone on with: the rest is made anew or read again.

Pure, but for looking at the sink's indices, and adding fields to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from cdc_daemon.events import NOWHERE, Checkpoint, Load
from cdc_daemon.projection.joined.plan import Plan
from cdc_daemon.shapes import altered, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from cdc_daemon.errors import SchemaChangedError
    from cdc_daemon.events import Generation, Position, Relation, Shape
    from cdc_daemon.ports import ReadModel
    from cdc_daemon.projection.flat import FlatProjection

    Mapped: TypeAlias = FlatProjection | Plan


class Indices(Protocol):
    """What of a `Sink` is asked here."""

    def find_generation(self, index: str) -> str | None:
        """As `Sink` has it."""

    def extend_generation(self, generation: Generation, model: ReadModel) -> bool:
        """As `Sink` has it."""

    def is_searched(self, projection: str) -> bool:
        """As `Sink` has it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a start finds."""

    checkpoint: Checkpoint | None
    place: Position | None
    """The position that the source keeps for us; None if it keeps none."""
    source_id: str
    shared: Position
    """`Source.shared_until` of the checkpoint's history."""
    memberships: Mapping[str, str]
    """What `Source.prepare` says of each table."""
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    """What the tables look like now."""
    unexplained: SchemaChangedError | None = None
    """What the stream has shown of a table: if the catalog doesn't explain it, its rows are read
    again, after which nothing of that shape counts any more."""
    state_lost: str | None = None
    """Why the state of joined read models can't be gone on with; None where it can."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """What it lacks, by the joined projections that want it."""
    held: Collection[str] = ()
    """Those of which nothing was given out so far, because the state lacked something already."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a start does about it."""

    checkpoint: Checkpoint
    """With the generations and loads that are gone on with."""
    claim: Checkpoint
    """What is stored before anything is made or dropped: all that was kept, in the history that
    the source has now."""
    anew: Mapping[str, str]
    """The projections that need a new generation, and why."""
    new_place: bool
    """Whether the source must keep another place for us, from now on."""
    lost: bool = False
    """Whether that is so because what was kept can't be gone on with."""
    written: Position = NOWHERE
    """No document of the generations that are gone on with has a higher version."""
    left_over: Sequence[Generation] = ()
    """Indices that were being built, and that nobody goes on with."""
    replaced: Collection[str] = ()
    """The projections that are searched already."""
    forgotten: Sequence[Generation] = ()
    """Loaded indices of projections that are no longer configured."""
    joined: Collection[str] = ()
    """The tables that have come into the stream since, while it goes on."""
    altered: Mapping[str, str] = field(default_factory=dict)
    """The tables of which all rows are to be read again, and why."""
    repaired: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By table: the projections whose index is searched, and to be made right by that."""

    @property
    def renewed(self) -> set[str]:
        """The tables of which no row counts that the state of joined read models has."""
        return {*self.joined, *self.altered}


def resume(
    pipeline: str,
    found: Found,
    projections: Sequence[Mapped],
    sink: Indices,
    show: Callable[[Position], str],
) -> Resumption:
    """Compare what was found with what is configured."""
    kept = found.checkpoint
    if kept is None or kept.position == NOWHERE:
        began = kept or Checkpoint(pipeline, NOWHERE, found.source_id)
        reason = "there is no checkpoint: this is the first start" + (
            ", or the checkpoint was lost" if found.place is not None else ""
        )
        return _begun_anew(_all_anew(began, found, projections, reason), began, sink)
    lost = _reason_for_all(kept, found, show)
    if lost is not None:
        return replace(_all_anew(kept, found, projections, lost), lost=True)
    return _gone_on_with(_carried_over(kept, found), found, projections, sink)


def _all_anew(
    kept: Checkpoint, found: Found, projections: Sequence[Mapped], reason: str
) -> Resumption:
    unfinished = unsearched(kept)
    return Resumption(
        Checkpoint(kept.pipeline, NOWHERE, found.source_id, memberships=dict(found.memberships)),
        kept,
        dict.fromkeys((projection.name for projection in projections), reason),
        new_place=True,
        replaced=kept.generations.keys() - unfinished,
        left_over=[kept.generations[name] for name in sorted(unfinished)],
    )


def _begun_anew(anew: Resumption, began: Checkpoint, sink: Indices) -> Resumption:
    """Nothing was published since, but what was before may still be searched."""
    searched = {name for name in anew.anew if sink.is_searched(name)}
    unfinished = unsearched(began) | (began.generations.keys() - searched)
    left_over = [began.generations[name] for name in sorted(unfinished)]
    return replace(anew, replaced=searched, left_over=left_over)


def _gone_on_with(
    kept: Checkpoint, found: Found, projections: Sequence[Mapped], sink: Indices
) -> Resumption:
    now = found.memberships
    joined = {table for table in now if now[table] != kept.memberships.get(table)}
    reasons = {
        projection.name: why
        for projection in projections
        if (why := _reason_for(projection, kept.generations, joined, sink)) is not None
    }
    unfinished = unsearched(kept)
    for plan in projections:
        if isinstance(plan, Plan) and (why := _reason_of_state(plan, found, unfinished)):
            reasons.setdefault(plan.name, why)
    tables = _altered(found, kept, projections, reasons)
    repaired: dict[str, tuple[str, ...]] = {}
    for projection in projections:
        if projection.name in reasons:
            continue
        for table in tables_of(projection) & tables.keys():
            if projection.name in unfinished or isinstance(projection, Plan):
                reasons[projection.name] = f"table {table} is read again: {tables[table]}"
            else:
                repaired[table] = (*repaired.get(table, ()), projection.name)
    good = {projection.name: projection for projection in projections}
    good = {name: projection for name, projection in good.items() if name not in reasons}
    return Resumption(
        replace(
            kept,
            generations={
                name: replace(kept.generations[name], fields=good[name].model.digests)
                for name in sorted(good)
            },
            loads=tuple(
                filter(
                    None,
                    (
                        _still_wanted(load, good.keys())
                        for load in kept.loads
                        if load.table not in tables
                    ),
                )
            ),
            memberships=dict(now),
            covered={
                table: coverage
                for table, coverage in kept.covered.items()
                if kept.position < coverage.end
            },
            building=tuple(name for name in kept.building if name in good),
        ),
        kept,
        reasons,
        new_place=False,
        # What a process has written that ended without a word, it had read from this source.
        written=found.shared if kept.written is None else kept.written,
        replaced=kept.generations.keys() - unfinished,
        left_over=[kept.generations[name] for name in sorted(unfinished - good.keys())],
        forgotten=[
            generation
            for name, generation in kept.generations.items()
            if name not in good.keys() | reasons.keys() | unfinished
        ],
        joined=joined,
        altered=tables,
        repaired=repaired,
    )


def _altered(
    found: Found,
    kept: Checkpoint,
    projections: Sequence[Mapped],
    anew: Mapping[str, str],
) -> dict[str, str]:
    """The tables whose documents have to be made again from all rows, and why."""
    tables: dict[str, str] = {}
    for projection in projections:
        for relation in projection.relations:
            table = relation.qualified_name
            why = _rows_altered(relation, kept.shapes.get(table), found.shapes.get(table))
            if why is not None:
                tables.setdefault(table, why)
        generation = kept.generations.get(projection.name)
        if generation is not None and projection.name not in anew:
            gone = sorted(generation.fields.keys() - projection.model.digests.keys())
            if gone:
                table = projection.relation.qualified_name
                tables.setdefault(table, f"column {', '.join(gone)} is gone")
    change = found.unexplained
    if change is not None and not _is_other(found, kept, change.table):
        tables.setdefault(change.table, change.why)
    return tables


def _rows_altered(relation: Relation, before: Shape | None, now: Shape | None) -> str | None:
    if before is None or now is None:
        return None
    return altered(before, now, shown(relation))


def _is_other(found: Found, kept: Checkpoint, table: str) -> bool:
    """Whether the catalog shows another column than before: that explains what the stream has."""
    before, now = kept.shapes.get(table), found.shapes.get(table)
    return before is None or now is None or before.columns.keys() != now.columns.keys()


def _carried_over(kept: Checkpoint, found: Found) -> Checkpoint:
    """What was kept, as of the history that the source has now.

    The stream has shown positions that no commit had, and that this history may give to others; and
    beyond what is shared, a transaction of it may have the number of one that was lost.
    """
    return replace(
        kept,
        source_id=found.source_id,
        position=min(kept.position, found.shared),
        loads=tuple(replace(load, since=min(load.since, found.shared)) for load in kept.loads),
        covered={
            table: replace(
                coverage,
                floor=min(coverage.floor, found.shared),
                end=min(coverage.end, found.shared),
            )
            for table, coverage in kept.covered.items()
        },
        # A commit that waited there is visible here; the number of one that was lost is another's.
        unseen=kept.unseen if kept.source_id == found.source_id else (),
    )


def _reason_for_all(kept: Checkpoint, found: Found, show: Callable[[Position], str]) -> str | None:
    if found.place is None:
        return "the source keeps no place for us: the slot was dropped or lost"
    if found.shared == NOWHERE:
        return f"the source is another one: {found.source_id}, it was {kept.source_id}"
    if kept.source_id != found.source_id:
        reason = _reason_of_failover(kept, found, show)
    else:
        reason = _reason_of_return(kept, found, show)
    position = min(kept.position, found.shared)
    if reason is None and found.place > position:
        reason = (
            f"the source has gone on to {show(found.place)}, the checkpoint says "
            f"{show(position)}: changes between them would be missing"
        )
    return reason


def _reason_of_failover(
    kept: Checkpoint, found: Found, show: Callable[[Position], str]
) -> str | None:
    """Why documents may show what the source has lost; None if they don't."""
    if kept.written is not None and kept.written <= found.shared:
        return None
    written = (
        "the daemon did not end in order, so it may have written what was lost"
        if kept.written is None
        else f"documents show changes up to {show(kept.written)}"
    )
    return (
        f"a failover has lost what the source had beyond {show(found.shared)} "
        f"({found.source_id}, it was {kept.source_id}), and {written}"
    )


def _reason_of_return(
    kept: Checkpoint, found: Found, show: Callable[[Position], str]
) -> str | None:
    """The same where the source says that it is the same: it may be an older copy of itself."""
    reached = max(kept.position, kept.written or NOWHERE)
    if reached <= found.shared:
        return None
    return (
        f"the source has gone back to {show(found.shared)}: it was at {show(reached)} already, "
        "and may have been restored from an older copy"
    )


def _reason_for(
    projection: Mapped,
    generations: Mapping[str, Generation],
    joined: Collection[str],
    sink: Indices,
) -> str | None:
    generation = generations.get(projection.name)
    if generation is None:
        return "it is new"
    if generation.fingerprint != projection.model.fingerprint:
        return "its mapping or its table has changed"
    if sink.find_generation(generation.index) != generation.uuid:
        return f"index {generation.index} is gone, or is another one of that name"
    for table in sorted(tables_of(projection) & {*joined}):
        return (
            f"table {table} was not in the stream all the time (it was taken out of the "
            "publication, or made anew): changes of it would be missing"
        )
    return _reason_of_fields(projection, generation, sink)


def _reason_of_fields(projection: Mapped, generation: Generation, sink: Indices) -> str | None:
    """Of a read model of every column: new ones are added to the index, where it takes them."""
    digests, fields = projection.model.digests, generation.fields
    retyped = sorted(name for name in digests.keys() & fields if digests[name] != fields[name])
    if retyped:
        return f"column {', '.join(retyped)} has another type, or is made in another way"
    added = ", ".join(sorted(digests.keys() - fields.keys()))
    if added and not sink.extend_generation(generation, projection.model):
        return f"index {generation.index} has had a column {added} of another type"
    return None


def _reason_of_state(plan: Plan, found: Found, unfinished: Collection[str]) -> str | None:
    """Where rows are missing already while it is built, it goes on being built."""
    if found.state_lost is not None:
        return found.state_lost
    lacking = found.lacking.get(plan.name)
    # What is being filled, and has been given nothing yet, can wait for more.
    if lacking is not None and plan.name not in {*unfinished} & {*found.held}:
        return f"the state lacks {lacking}, as they are mapped now"
    return None


def tables_of(projection: Mapped) -> set[str]:
    """The names of the tables that it reads."""
    return {relation.qualified_name for relation in projection.relations}


def unsearched(kept: Checkpoint) -> set[str]:
    """The projections that have a generation, which nobody searches yet."""
    return being_filled(kept.loads) | {*kept.building}


def being_filled(loads: Iterable[Load]) -> set[str]:
    """The projections whose generation nobody searches yet."""
    return {name for load in loads if not load.repairs for name in load.projections}


def _still_wanted(load: Load, good: Collection[str]) -> Load | None:
    names = tuple(name for name in load.projections if name in good)
    return replace(load, projections=names) if names else None


def loads_of(
    names: Collection[str], projections: Sequence[FlatProjection], joined: Collection[str] = ()
) -> tuple[Load, ...]:
    """One load for each table that the named projections read."""
    tables: dict[str, list[str]] = {}
    for projection in projections:
        if projection.name in names:
            tables.setdefault(projection.relation.qualified_name, []).append(projection.name)
    return tuple(Load(table, tuple(some), joined=table in joined) for table, some in tables.items())
