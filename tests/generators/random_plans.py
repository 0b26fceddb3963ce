"""Some random mappings over a world, compiled together as one configuration's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.projection.compiler import Compiled, compile_projections
from tests.generators.mappings import random_mapping
from tests.generators.worlds import KEY_TYPES, SPECIAL

if TYPE_CHECKING:
    from random import Random

    from cdc_daemon.events import Relation
    from tests.generators.worlds import Table, World

MAPPINGS = 5


def random_plans(
    rng: Random, world: World, relations: dict[str, Relation], count: int = MAPPINGS
) -> tuple[dict[str, Any], Compiled]:
    """The mappings by name, `count` or a few less, and what they are compiled to."""
    mappings = {}
    for number in range(count):
        mapping = random_mapping(rng, world)
        if rng.random() < 0.2:
            mapping["routing"] = rng.choice(_routable(world.table(mapping["from"])))
        if _fits(mapping, relations):
            mappings[f"p{number}"] = mapping
    return mappings, _compile(mappings, relations)


def _routable(table: Table) -> list[str]:
    """Its key, and columns by which a document may move from one shard to another.

    A NaN or an infinity says no shard: such a row is a dead letter.
    """
    named = [
        column.name
        for column in table.columns
        if not column.nullable and column.type in KEY_TYPES and column.type not in SPECIAL
    ]
    return list(dict.fromkeys([*table.key, *named]))


def _fits(mapping: dict[str, Any], relations: dict[str, Relation]) -> bool:
    """Now and then a mapping has too many levels."""
    try:
        return bool(_compile({"p": mapping}, relations).plans)
    except ConfigurationError:
        return False


def _compile(mappings: dict[str, Any], relations: dict[str, Relation]) -> Compiled:
    configs = {name: ProjectionConfig.model_validate(one) for name, one in mappings.items()}
    return compile_projections(configs, relations, lambda *_: "")
