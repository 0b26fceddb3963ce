"""What a start finds, and what of it can be gone on with: the rest is made anew or read again.

Pure, but for looking at the sink's indices, and adding fields to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cdc_daemon.events import Checkpoint, Load, Position
from cdc_daemon.shapes import altered

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from cdc_daemon.errors import SchemaChangedError
    from cdc_daemon.events import Generation, Relation, Shape
    from cdc_daemon.ports import Sink
    from cdc_daemon.projection.flat import FlatProjection


@dataclass(frozen=True, slots=True)
class Found:
    """What a start finds."""

    checkpoint: Checkpoint | None
    place: Position | None
    """The position that the source keeps for us; None if it keeps none."""
    source_id: str
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    """What the tables look like now."""
    unexplained: SchemaChangedError | None = None
    """What the stream has shown of a table: if the catalog doesn't explain it, its rows are read
    again, after which nothing of that shape counts any more."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a start does about it."""

    checkpoint: Checkpoint
    """With the generations and loads that are gone on with."""
    anew: Mapping[str, str]
    """The projections that need a new generation, and why."""
    new_place: bool
    """Whether the source must keep another place for us, from now on."""
    left_over: Sequence[Generation] = ()
    """Indices that were being built, and that nobody goes on with."""
    replaced: Collection[str] = ()
    """The projections that have a generation already."""
    forgotten: Sequence[Generation] = ()
    """Loaded indices of projections that are no longer configured."""
    altered: Mapping[str, str] = field(default_factory=dict)
    """The tables of which all rows are to be read again, and why."""
    repaired: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By table: the projections whose index is searched, and to be made right by that."""


def resume(
    pipeline: str,
    found: Found,
    projections: Sequence[FlatProjection],
    sink: Sink,
    show: Callable[[Position], str],
) -> Resumption:
    """Compare what was found with what is configured."""
    kept = found.checkpoint
    reason = _reason_for_all(found, show)
    if reason is not None or kept is None:
        unfinished = being_filled(kept.loads) if kept else set()
        return Resumption(
            Checkpoint(pipeline, Position(0), found.source_id),
            dict.fromkeys((projection.name for projection in projections), reason or ""),
            new_place=True,
            replaced=kept.generations.keys() - unfinished if kept else (),
            left_over=[kept.generations[name] for name in sorted(unfinished)] if kept else (),
        )
    reasons = {
        projection.name: why
        for projection in projections
        if (why := _reason_for(projection, kept.generations, sink)) is not None
    }
    unfinished = being_filled(kept.loads)
    tables = _altered(found, kept, projections, reasons)
    repaired: dict[str, tuple[str, ...]] = {}
    for projection in projections:
        table = projection.relation.qualified_name
        if table in tables and projection.name not in reasons:
            if projection.name in unfinished:
                reasons[projection.name] = f"table {table} has changed: {tables[table]}"
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
            covered={
                table: coverage
                for table, coverage in kept.covered.items()
                if kept.position < coverage.end
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
        ),
        reasons,
        new_place=False,
        replaced=kept.generations.keys() - unfinished,
        left_over=[kept.generations[name] for name in sorted(unfinished - good.keys())],
        forgotten=[
            generation
            for name, generation in kept.generations.items()
            if name not in good.keys() | reasons.keys() | unfinished
        ],
        altered=tables,
        repaired=repaired,
    )


def _altered(
    found: Found,
    kept: Checkpoint,
    projections: Sequence[FlatProjection],
    anew: Mapping[str, str],
) -> dict[str, str]:
    """The tables whose documents have to be made again from all rows, and why."""
    tables: dict[str, str] = {}
    for projection in projections:
        relation = projection.relation
        table = relation.qualified_name
        why = _rows_altered(relation, kept.shapes.get(table), found.shapes.get(table))
        generation = kept.generations.get(projection.name)
        if generation is not None and projection.name not in anew:
            gone = sorted(generation.fields.keys() - projection.model.digests.keys())
            why = why or (f"column {', '.join(gone)} is gone" if gone else None)
        if why is not None:
            tables.setdefault(table, why)
    change = found.unexplained
    if change is not None and not _is_other(found, kept, change.table):
        tables.setdefault(change.table, change.why)
    return tables


def _rows_altered(relation: Relation, before: Shape | None, now: Shape | None) -> str | None:
    if before is None or now is None:
        return None
    return altered(before, now, [column.name for column in relation.columns])


def _is_other(found: Found, kept: Checkpoint, table: str) -> bool:
    """Whether the catalog shows another column than before: that explains what the stream has."""
    before, now = kept.shapes.get(table), found.shapes.get(table)
    return before is None or now is None or before.columns.keys() != now.columns.keys()


def _reason_for_all(found: Found, show: Callable[[Position], str]) -> str | None:
    checkpoint = found.checkpoint
    if checkpoint is None:
        return "there is no checkpoint: this is the first start" + (
            ", or the checkpoint was lost" if found.place is not None else ""
        )
    if checkpoint.source_id != found.source_id:
        return f"the source is another one: {found.source_id}, it was {checkpoint.source_id}"
    if found.place is None:
        return "the source keeps no place for us: the slot was dropped or lost"
    if found.place > checkpoint.position:
        return (
            f"the source has gone on to {show(found.place)}, the checkpoint says "
            f"{show(checkpoint.position)}: changes between them would be missing"
        )
    return None


def _reason_for(
    projection: FlatProjection, generations: Mapping[str, Generation], sink: Sink
) -> str | None:
    generation = generations.get(projection.name)
    if generation is None:
        return "it is new"
    if generation.fingerprint != projection.model.fingerprint:
        return "its mapping or its table has changed"
    if sink.find_generation(generation.index) != generation.uuid:
        return f"index {generation.index} is gone, or is another one of that name"
    return _reason_of_fields(projection, generation, sink)


def _reason_of_fields(projection: FlatProjection, generation: Generation, sink: Sink) -> str | None:
    """Of a read model of every column: new ones are added to the index, where it takes them."""
    digests, fields = projection.model.digests, generation.fields
    retyped = sorted(name for name in digests.keys() & fields if digests[name] != fields[name])
    if retyped:
        return f"column {', '.join(retyped)} has another type"
    added = ", ".join(sorted(digests.keys() - fields.keys()))
    if added and not sink.extend_generation(generation, projection.model):
        return f"index {generation.index} has had a column {added} of another type"
    return None


def being_filled(loads: Iterable[Load]) -> set[str]:
    """The projections whose generation nobody searches yet."""
    return {name for load in loads if not load.repairs for name in load.projections}


def _still_wanted(load: Load, good: Collection[str]) -> Load | None:
    names = tuple(name for name in load.projections if name in good)
    return replace(load, projections=names) if names else None


def loads_of(names: Collection[str], projections: Sequence[FlatProjection]) -> tuple[Load, ...]:
    """One load for each table that the named projections read."""
    tables: dict[str, list[str]] = {}
    for projection in projections:
        if projection.name in names:
            tables.setdefault(projection.relation.qualified_name, []).append(projection.name)
    return tuple(Load(table, tuple(some)) for table, some in tables.items())
