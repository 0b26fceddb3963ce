"""Generations of read models: made empty, shown to searches when they are loaded, then dropped."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.errors import CdcError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cdc_daemon.events import Generation
    from cdc_daemon.ports import ReadModel, Sink

log = structlog.get_logger(__name__)


def create(models: Iterable[ReadModel], sink: Sink) -> dict[str, Generation]:
    """Make an empty generation of every read model: all of them, or none."""
    made: dict[str, Generation] = {}
    try:
        for model in models:
            generation = made[model.name] = sink.create_generation(model)
            log.info("generation_created", projection=model.name, index=generation.index)
    except CdcError:
        with suppress(CdcError):
            drop(list(made.values()), sink)
        raise
    return made


def publish(sink: Sink, generation: Generation) -> None:
    """Let searches see `generation`, and drop the one that they saw until now.

    What was written last may not be searchable yet, where a daemon ended after it.
    """
    sink.refresh([generation.index])
    for index in sink.publish(generation):
        uuid = sink.find_generation(index)
        if uuid is not None:
            sink.drop_generation(replace(generation, index=index, uuid=uuid))
            log.info("generation_dropped", index=index)
    log.info("published", projection=generation.projection, index=generation.index)


def drop(generations: Sequence[Generation], sink: Sink) -> None:
    """Delete indices that nobody searches."""
    for generation in generations:
        sink.drop_generation(generation)
        log.info("generation_dropped", index=generation.index)
