"""The first load: whether it is needed, and loading existing rows into new generations.

Rows come from one snapshot and are written at its position as their version, into indices that
nobody searches until all of it is there. A load that is cut short starts again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.errors import CdcError, RetryError
from cdc_daemon.events import NOWHERE, Checkpoint, Generation, PartlyUnreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.events import Position
    from cdc_daemon.ports import Sink, Snapshot, Source
    from cdc_daemon.projection.flat import FlatProjection

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What a start finds."""

    checkpoint: Checkpoint | None
    place: Position | None
    """The position that the source keeps for us; None if it keeps none."""
    source_id: str


def reason_to_load(
    found: Found, projections: Sequence[FlatProjection], sink: Sink, show: Callable[[Position], str]
) -> str | None:
    """Why everything must be loaded; None when the pipeline can go on where it was."""
    checkpoint = found.checkpoint
    if checkpoint is None:
        return "there is no checkpoint: this is the first start" + (
            ", or the checkpoint was lost" if found.place is not None else ""
        )
    if not checkpoint.loaded:
        return "the last load was cut short"
    if checkpoint.source_id != found.source_id:
        return f"the source is another one: {found.source_id}, it was {checkpoint.source_id}"
    if found.place is None:
        return "the source keeps no place for us: the slot was dropped or lost"
    if found.place > checkpoint.position:
        return (
            f"the source has gone on to {show(found.place)}, the checkpoint says "
            f"{show(checkpoint.position)}: changes between them would be missing"
        )
    return _generation_reason(checkpoint.generations, projections, sink)


def _generation_reason(
    generations: Mapping[str, Generation], projections: Sequence[FlatProjection], sink: Sink
) -> str | None:
    if set(generations) != {projection.name for projection in projections}:
        return "projections were added or removed"
    for projection in projections:
        generation = generations[projection.name]
        if generation.fingerprint != projection.model.fingerprint:
            return f"the mapping or the table of projection {projection.name} has changed"
        if sink.find_generation(generation.index) != generation.uuid:
            return f"index {generation.index} is gone, or is another one of that name"
    return None


def new_generations(
    pipeline: str, found: Found, projections: Sequence[FlatProjection], sink: Sink
) -> Checkpoint:
    """Make an empty generation of every projection, and note that they are being loaded."""
    unfinished = found.checkpoint
    if unfinished is not None and not unfinished.loaded:
        for generation in unfinished.generations.values():
            sink.drop_generation(generation)
    generations: dict[str, Generation] = {}
    try:
        for projection in projections:
            generation = generations[projection.name] = sink.create_generation(projection.model)
            log.info("generation_created", projection=projection.name, index=generation.index)
        checkpoint = Checkpoint(pipeline, NOWHERE, found.source_id, generations, loaded=False)
        sink.checkpoints.store(checkpoint)
    except CdcError:
        for generation in generations.values():
            with suppress(CdcError):
                sink.drop_generation(generation)
        raise
    return checkpoint


def load(
    source: Source,
    sink: Sink,
    delivery: Delivery,
    projections: Sequence[FlatProjection],
    checkpoint: Checkpoint,
    look: Callable[[], None],
) -> Checkpoint:
    """Load all rows, publish the generations; return the checkpoint to go on from.

    `look` is called between blocks: what it raises (a stop, a failure) ends the load. A source
    that goes away takes its snapshot along: then all rows are loaded again, from another one.
    """
    generations = checkpoint.generations
    attempts = 0
    position = NOWHERE
    for attempt in retrying():
        with attempt:
            look()
            attempts += 1
            position = _load_all(source, delivery, projections, generations, look)
    delivery.settle()
    if attempts > 1:
        # Rows that were deleted between two snapshots.
        for generation in generations.values():
            delivery.aside(partial(delivery.delete_before, generation.index, position))
    loaded = replace(checkpoint, position=position, loaded=True)
    # A sink that is away just now must not cost a load of hours. Stored before the first alias
    # moves: a start publishes again what is loaded, but drops what is not.
    _insist(look, lambda: sink.refresh([generation.index for generation in generations.values()]))
    _insist(look, lambda: sink.checkpoints.store(loaded))
    for generation in generations.values():
        _insist(look, partial(publish, sink, generation))
    return loaded


def _load_all(
    source: Source,
    delivery: Delivery,
    projections: Sequence[FlatProjection],
    generations: Mapping[str, Generation],
    look: Callable[[], None],
) -> Position:
    """Load the rows of one snapshot; return its position."""
    try:
        snapshot = source.snapshot()
        try:
            for projection in projections:
                _load_one(snapshot, delivery, projection, generations[projection.name], look)
        finally:
            snapshot.close()
    except RetryError as error:
        log.warning("load_cut_short", reason=error.reason, error=str(error))
        delivery.metrics.reconnected("source")
        raise
    return snapshot.position


def _insist(look: Callable[[], None], work: Callable[[], object]) -> None:
    for attempt in retrying():
        with attempt:
            look()
            work()


def publish(sink: Sink, generation: Generation) -> None:
    """Let searches see `generation`, and drop the one that they saw until now."""
    for index in sink.publish(generation):
        uuid = sink.find_generation(index)
        if uuid is not None:
            sink.drop_generation(replace(generation, index=index, uuid=uuid))
            log.info("generation_dropped", index=index)
    log.info("published", projection=generation.projection, index=generation.index)


def _load_one(
    snapshot: Snapshot,
    delivery: Delivery,
    projection: FlatProjection,
    generation: Generation,
    look: Callable[[], None],
) -> None:
    relation = projection.relation
    estimate = snapshot.estimated_rows(relation)
    log.info("loading", projection=projection.name, estimated_rows=estimate)
    rows = 0

    def contents() -> Iterator[Content]:
        nonlocal rows
        for block in snapshot.rows(relation):
            look()
            rows += len(block)
            delivery.metrics.loaded(projection.name, len(block))
            unreadable = isinstance(block, PartlyUnreadable)
            load_row = projection.load_partly_unreadable if unreadable else projection.load
            for row in block:
                content = load_row(row)
                if content is not None:
                    yield content

    documents = delivery.dispatcher.send(
        generation.index, snapshot.position, contents(), after=NOWHERE
    )
    log.info("loaded", projection=projection.name, rows=rows, documents=documents)
