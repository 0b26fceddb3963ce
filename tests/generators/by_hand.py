"""A table, a projection and a configuration made by hand, for logic that needs no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from cdc_daemon.config.models import Configuration, MemoryConfig, StateConfig
from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.events import Column, ColumnType, Relation
from cdc_daemon.ports import FieldSpec, ReadModel
from cdc_daemon.projection.flat import FlatProjection

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.events import ReplicaIdentity

INT4 = ColumnType("int4", declared="integer")
TEXT = ColumnType("text", declared="text")


def table(
    *columns: str | Column,
    name: str = "hotel",
    key: tuple[str, ...] = ("id",),
    identity: ReplicaIdentity = "default",
) -> Relation:
    """A relation of text columns; those of the key are integers, and the replica identity."""
    made = tuple(
        column
        if isinstance(column, Column)
        else Column(
            column,
            INT4 if column in key else TEXT,
            nullable=column not in key,
            in_identity=column in key or identity == "full",
            out_of_line=column not in key,
        )
        for column in columns
    )
    return Relation("public", name, made, key, identity)


def projection(name: str = "hotels", relation: Relation | None = None) -> FlatProjection:
    """A projection whose row is `[id as JSON string, document]`, by hand."""
    model = ReadModel(name, (FieldSpec("id", INT4), FieldSpec("name", TEXT)), f"print of {name}")
    return FlatProjection(
        model=model,
        relation=relation or table("id", "name", name=name),
        reads=(0, 1),
        id_of=lambda row: row[0],  # type: ignore[arg-type,return-value]  # bytes
        body_of=lambda row: row[1],  # type: ignore[arg-type,return-value]  # bytes
        includes=None,
        columns_shown={"id": "id", "name": "name"},
        max_document_bytes=1_000_000,
        key=("id",),
    )


class Settings(BaseModel):
    """The section of a connector that needs none."""

    type: str = "fake"


def configuration(
    folder: Path,
    *projections: str,
    senders: int = 3,
    queue: int = 4_000_000,
    batch: int = 20_000,
    freshness: float = 0.0,
) -> Configuration:
    """A configuration for fakes."""
    return Configuration(
        name="pipe",
        source=Settings(),
        sink=Settings(),
        projections={
            name: ProjectionConfig.model_validate(
                {"from": f"public.{name}", "fields": "*", "freshness": freshness}
            )
            for name in projections or ("hotels",)
        },
        memory=MemoryConfig(queue=queue, batch=batch, transaction=1_000_000),
        senders=senders,
        state=StateConfig(path=folder),
    )
