"""Projections over tables, compiled; and what is said of those that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.events import Protection
from cdc_daemon.projection.compiler import Compiled, compile_projections
from tests.generators.by_hand import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.events import Relation

LINES = {"fields": 7, "where": 5, "id": 6, "from": 4}


def locate(*path: str | int) -> str:
    """A line for each key."""
    return f"shop.yaml:{LINES.get(str(path[2]), 3) if len(path) > 2 else 2}"


def compile_all(
    projections: Mapping[str, Mapping[str, Any]], *relations: Relation, **named: Relation
) -> Compiled:
    """Compile projections over tables that are named `schema.name`, or otherwise."""
    parsed = {name: ProjectionConfig.model_validate(one) for name, one in projections.items()}
    tables = {relation.qualified_name: relation for relation in relations} | named
    return compile_projections(parsed, tables, locate)


def hotels(relation: Relation | None = None, **config: Any) -> Compiled:
    """One projection over one table."""
    relation = relation or table("id", "name", "city")
    whole = {"from": relation.qualified_name, "fields": "*"} | config
    return compile_all({"hotels": whole}, relation)


def mistakes(relation: Relation | None = None, **config: Any) -> list[str]:
    """What is said of a configuration that is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        hotels(relation, **config)
    return str(caught.value).splitlines()


def body(compiled: Compiled, *row: bytes) -> Any:
    """The document of a row."""
    return orjson.loads(compiled.projections[0].body_of(list(row)))


def protection(kind: Any, digest: str = "one") -> Protection:
    """What a source does to a column."""
    return Protection(kind, "text", digest, bytes)
