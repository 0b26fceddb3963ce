"""Some random mappings over a world, compiled together as one configuration's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.projection.compiler import Compiled, compile_projections
from tests.generators.mappings import random_mapping

if TYPE_CHECKING:
    from random import Random

    from cdc_daemon.events import Relation
    from tests.generators.worlds import World

MAPPINGS = 5


def random_plans(
    rng: Random, world: World, relations: dict[str, Relation], count: int = MAPPINGS
) -> tuple[dict[str, Any], Compiled]:
    """The mappings by name, `count` or a few less, and what they are compiled to."""
    mappings = {}
    for number in range(count):
        mapping = random_mapping(rng, world)
        if rng.random() < 0.2:
            mapping["routing"] = rng.choice(world.table(mapping["from"]).key)
        if _fits(mapping, relations):
            mappings[f"p{number}"] = mapping
    return mappings, _compile(mappings, relations)


def _fits(mapping: dict[str, Any], relations: dict[str, Relation]) -> bool:
    """Now and then a mapping has too many levels."""
    try:
        return bool(_compile({"p": mapping}, relations).plans)
    except ConfigurationError:
        return False


def _compile(mappings: dict[str, Any], relations: dict[str, Relation]) -> Compiled:
    configs = {name: ProjectionConfig.model_validate(one) for name, one in mappings.items()}
    return compile_projections(configs, relations, lambda *_: "")
