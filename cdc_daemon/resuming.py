"""What a start finds, and what of it can be gone on with: the rest is made anew and loaded. Pure
but for looking at the sink's indices.
"""  # noqa: D205 - one sentence

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cdc_daemon.events import Checkpoint, Load, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from cdc_daemon.events import Generation
    from cdc_daemon.ports import Sink
    from cdc_daemon.projection.flat import FlatProjection


@dataclass(frozen=True, slots=True)
class Found:
    """What a start finds."""

    checkpoint: Checkpoint | None
    place: Position | None
    """The position that the source keeps for us; None if it keeps none."""
    source_id: str
    memberships: Mapping[str, str]
    """What `Source.prepare` says of each table."""


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
    joined: Collection[str] = ()
    """The tables that have come into the stream since, while it goes on."""


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
            Checkpoint(pipeline, Position(0), found.source_id, memberships=dict(found.memberships)),
            dict.fromkeys((projection.name for projection in projections), reason or ""),
            new_place=True,
            replaced=kept.generations.keys() - unfinished if kept else (),
            left_over=[kept.generations[name] for name in sorted(unfinished)] if kept else (),
        )
    now = found.memberships
    joined = {table for table in now if now[table] != kept.memberships.get(table)}
    reasons = {
        projection.name: why
        for projection in projections
        if (why := _reason_for(projection, kept.generations, joined, sink)) is not None
    }
    good = {projection.name for projection in projections} - reasons.keys()
    unfinished = being_filled(kept.loads)
    return Resumption(
        replace(
            kept,
            generations={name: kept.generations[name] for name in sorted(good)},
            loads=tuple(filter(None, (_still_wanted(load, good) for load in kept.loads))),
            memberships=dict(now),
        ),
        reasons,
        new_place=False,
        replaced=kept.generations.keys() - unfinished,
        left_over=[kept.generations[name] for name in sorted(unfinished - good)],
        forgotten=[
            generation
            for name, generation in kept.generations.items()
            if name not in good | reasons.keys() | unfinished
        ],
        joined=joined,
    )


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
    projection: FlatProjection,
    generations: Mapping[str, Generation],
    joined: Collection[str],
    sink: Sink,
) -> str | None:
    generation = generations.get(projection.name)
    if generation is None:
        return "it is new"
    if generation.fingerprint != projection.model.fingerprint:
        return "its mapping or its table has changed"
    if sink.find_generation(generation.index) != generation.uuid:
        return f"index {generation.index} is gone, or is another one of that name"
    if (table := projection.relation.qualified_name) in joined:
        return (
            f"table {table} was not in the stream all the time (it was taken out of the "
            "publication, or made anew): changes of it would be missing"
        )
    return None


def being_filled(loads: Iterable[Load]) -> set[str]:
    """The projections whose generation nobody searches yet."""
    return {name for load in loads if not load.repairs for name in load.projections}


def _still_wanted(load: Load, good: set[str]) -> Load | None:
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
