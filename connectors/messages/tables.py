"""Tables as the configuration describes them: there is no catalog to ask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cdc_daemon.errors import SourceError
from cdc_daemon.events import Column, Relation
from cdc_daemon.nearest import nearest
from connectors.messages.columntypes import column_type

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cdc_daemon.ports import TableRequest

DEFAULT_SCHEMA: Final = "public"


def _declared(value: str) -> str:
    column_type(value)
    return value


class TableConfig(BaseModel):
    """One table: there is no catalog that would say what it looks like."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: list[str] = Field(min_length=1, description="The columns of the primary key.")
    columns: dict[str, Annotated[str, AfterValidator(_declared)]] = Field(
        min_length=1,
        description="Every column and its type, as SQL writes it: `bigint`, `numeric(10,2)`, "
        "`text[]`, `text not null`.",
    )

    @model_validator(mode="after")
    def _has_its_key(self) -> TableConfig:
        missing = [name for name in self.key if name not in self.columns]
        if missing or len({*self.key}) < len(self.key):
            raise ValueError(f"`key` names {', '.join(missing) or 'a column twice'}: not a column")
        return self


def qualified(table: str) -> str:
    """A table as `schema.name`."""
    return table if "." in table else f"{DEFAULT_SCHEMA}.{table}"


def configured_relations(tables: Mapping[str, TableConfig]) -> dict[str, Relation]:
    """By their qualified names."""
    return {
        qualified(name): configured_relation(qualified(name), table)
        for name, table in tables.items()
    }


def configured_relation(name: str, table: TableConfig) -> Relation:
    """One of them; `name` is qualified."""
    schema, _, bare = name.partition(".")
    columns = []
    for column, declared in table.columns.items():
        type_, nullable = column_type(declared)
        is_key = column in table.key
        columns.append(Column(column, type_, nullable=nullable and not is_key, in_identity=is_key))
    return Relation(
        schema,
        bare,
        tuple(columns),
        tuple(table.key),
        unique_keys=(tuple(table.key),),
        known=frozenset(table.columns),
        order=tuple(table.columns),
    )


def described(tables: Mapping[str, Relation], requests: Sequence[TableRequest]) -> list[Relation]:
    """What `Source.describe` gives. Raises SourceError with everything that is missing."""
    mistakes: list[str] = []
    relations = [_described(tables, request, mistakes) for request in requests]
    if mistakes:
        raise SourceError("; ".join(mistakes))
    return [relation for relation in relations if relation is not None]


def _described(
    tables: Mapping[str, Relation], request: TableRequest, mistakes: list[str]
) -> Relation | None:
    name = qualified(request.name)
    relation = tables.get(name)
    if relation is None:
        mistakes.append(_missing(f"source.tables has no table {name}", name, tables))
        return None
    if request.columns is None:
        return relation
    for column in request.columns:
        if column not in relation.known:
            said = f"table {name} has no column {column} in source.tables"
            mistakes.append(_missing(said, column, relation.known))
    wanted = tuple(one for one in relation.columns if one.name in request.columns)
    return replace(relation, columns=wanted)


def _missing(said: str, name: str, known: Collection[str]) -> str:
    meant = nearest(name, known)
    return f"{said}; did you mean {meant}?" if meant else said
