"""What a document holds of other tables' rows, as a configuration writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StrictInt,
    Tag,
    model_validator,
)

from cdc_daemon.config.fields import FieldConfig, FieldName, Fields, by_name
from cdc_daemon.config.names import clashing_fields, table_name
from cdc_daemon.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = Literal[
    "one", "many", "count", "sum", "avg", "min", "max", "bool_and", "bool_or", "first", "last"
]
"""What is made of the rows that belong to a row."""

DEEPEST: Final = 10
"""Levels that an embed repeats itself: each one is an object within another, in the index too."""

_OBJECTS: Final = frozenset({"one", "many", "first", "last"})
_ALLOWED: Final[dict[str, frozenset[str]]] = {
    "fields": _OBJECTS,
    "order_by": frozenset({"many", "first", "last"}),
    "limit": frozenset({"many"}),
    "distinct": frozenset({"many", "count"}),
    "nested": _OBJECTS,
    "depth": _OBJECTS,
}
"""The kinds that a key goes with; every other key goes with all."""
_NEED_VALUE: Final = frozenset({"sum", "avg", "min", "max", "bool_and", "bool_or"})

ONE_TAG: Final = ".junction"
SEVERAL_TAG: Final = ".junctions"

Table = Annotated[str, AfterValidator(table_name)]
Columns = Annotated[
    dict[Annotated[str, Field(min_length=1)], Annotated[str, Field(min_length=1)]],
    Field(min_length=1),
]


class JunctionConfig(Section):
    """A table that only links others."""

    table: Table = Field(description="The junction table.")
    on: Columns = Field(
        description="Its columns, and the columns nearer the root that they are equal to."
    )
    to: Columns | None = Field(
        default=None,
        description="Of the last junction: columns of the embedded table, and those of the "
        "junction that they are equal to.",
    )
    where: str | None = Field(
        default=None,
        min_length=1,
        description="A PostgreSQL condition over the columns of the junction. Only rows for which "
        "it is true link anything.",
    )


def _way_of_junctions(value: object) -> str:
    return SEVERAL_TAG if isinstance(value, list) else ONE_TAG


Junctions: TypeAlias = Annotated[
    Annotated[JunctionConfig, Tag(ONE_TAG)]
    | Annotated[list[JunctionConfig], Field(min_length=1), Tag(SEVERAL_TAG)],
    Discriminator(_way_of_junctions),
]


def _value(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


def _no_constant(value: FieldConfig) -> FieldConfig:
    if value.has_constant or (value.column is None and value.expression is None):
        raise ValueError("expected a column, or `column` or `expression`")
    return value


Value = Annotated[
    FieldConfig,
    BeforeValidator(_value, json_schema_input_type=str | FieldConfig),
    AfterValidator(_no_constant),
]


class EmbedConfig(Section):
    """Rows of another table that belong to a row, and what the document holds of them."""

    one: Table | None = Field(
        default=None,
        description="The row of this table: an object, or null. Without `fields` and `value` it is "
        "not shown, but expressions may read its columns, as `NAME.column`.",
    )
    many: Table | None = Field(default=None, description="The rows of this table, as a list.")
    count: Table | None = Field(
        default=None, description="How many rows of this table; with `value` those without NULL."
    )
    sum: Table | None = Field(default=None, description="The sum of `value`; of nothing null.")
    avg: Table | None = Field(default=None, description="The average of `value`.")
    min: Table | None = Field(default=None, description="The least `value`.")
    max: Table | None = Field(default=None, description="The greatest `value`.")
    bool_and: Table | None = Field(default=None, description="Whether every `value` is true.")
    bool_or: Table | None = Field(default=None, description="Whether any `value` is true.")
    first: Table | None = Field(
        default=None, description="The first row of this table by `order_by`: an object or `value`."
    )
    last: Table | None = Field(
        default=None, description="The last row of this table by `order_by`: an object or `value`."
    )
    on: Columns | None = Field(
        default=None,
        description="Columns of the embedded table, and the columns nearer the root that they are "
        "equal to.",
    )
    through: Junctions | None = Field(
        default=None,
        description="Instead of `on`: the junction table between, or a list of them, nearest the "
        "root first.",
    )
    where: str | None = Field(
        default=None,
        min_length=1,
        description="A PostgreSQL condition over the columns of the embedded table and of its "
        "`one` embeds. Only rows for which it is true count.",
    )
    fields: Fields | None = Field(
        default=None, description="What each object holds, as `fields` of a projection."
    )
    value: Value | None = Field(
        default=None,
        description="Instead of `fields`: the column (or a field: `expression`, `type`, ...) that "
        "each row gives, or that is aggregated.",
    )
    embed: Embeds = Field(
        default_factory=dict, description="What each object holds of further tables' rows."
    )
    order_by: str | None = Field(
        default=None,
        min_length=1,
        description="The order of the rows, as SQL writes it: `price desc nulls last, id`. The "
        "key is appended.",
    )
    limit: StrictInt | None = Field(
        default=None, ge=1, description="The most rows, the first by `order_by`."
    )
    distinct: bool = Field(
        default=False,
        description="Each row once, however many paths lead to it; with `value` each value once.",
    )
    nested: bool = Field(
        default=False, description="Index objects as `nested`, so that each is searched as a whole."
    )
    depth: StrictInt = Field(
        default=1,
        ge=1,
        le=DEEPEST,
        description="Repeat the embed within itself, so many levels in all: a table that refers to "
        "itself.",
    )

    @property
    def kind(self) -> Kind:
        """What is made of the rows."""
        return self._kinds[0]

    @property
    def table(self) -> str:
        """The embedded table."""
        return str(getattr(self, self.kind))

    @property
    def junctions(self) -> list[JunctionConfig]:
        """The tables between, nearest the root first."""
        through = self.through
        return [through] if isinstance(through, JunctionConfig) else through or []

    @property
    def named_fields(self) -> dict[str, FieldConfig] | None:
        """The fields by name; None for `"*"`, all columns."""
        return by_name(self.fields or {})

    @property
    def is_object(self) -> bool:
        """Whether its rows are shown as objects."""
        shows = self.fields is not None or any(one.is_shown for one in self.embed.values())
        return self.kind in _OBJECTS and self.value is None and shows

    @property
    def is_shown(self) -> bool:
        """Whether the document holds it; otherwise it only lends columns to expressions."""
        return self.kind != "one" or self.value is not None or self.is_object

    @property
    def tables(self) -> list[str]:
        """Every table that it reads, as it names them."""
        below = [name for one in self.embed.values() for name in one.tables]
        return [*(one.table for one in self.junctions), self.table, *below]

    @property
    def _kinds(self) -> list[Kind]:
        return [kind for kind in get_args(Kind) if getattr(self, kind) is not None]

    @model_validator(mode="after")
    def _is_consistent(self) -> EmbedConfig:
        kinds = self._kinds
        if not kinds:
            raise ValueError(f"expected one of {', '.join(_ALL_KINDS)}, with a table")
        if len(kinds) > 1:
            raise ValueError(f"{' and '.join(kinds)} exclude each other: keep one")
        self._check_keys()
        self._check_way()
        self._check_content()
        distinct_names(self.named_fields, self.embed)
        return self

    def _check_keys(self) -> None:
        for key, kinds in _ALLOWED.items():
            if key in self.model_fields_set and self.kind not in kinds:
                words = ", ".join(kind for kind in _ALL_KINDS if kind in kinds)
                raise ValueError(f"`{key}` goes with {words}, not with {self.kind}")

    def _check_way(self) -> None:
        if (self.on is None) == (self.through is None):
            raise ValueError("expected either `on` or `through`")
        if self.junctions and self.junctions[-1].to is None:
            raise ValueError("expected `to` in the last junction: {column of the table: column}")
        if any(one.to is not None for one in self.junctions[:-1]):
            raise ValueError("`to` belongs into the last junction: the others are reached by `on`")

    def _check_content(self) -> None:
        if self.fields is not None and self.value is not None:
            raise ValueError("fields and value exclude each other: keep one")
        if self.kind in _NEED_VALUE and self.value is None:
            raise ValueError(f"{self.kind} needs a `value`")
        if self.kind in _OBJECTS - {"one"} and self.value is None and not self.is_object:
            raise ValueError(f"{self.kind} needs `fields` or a `value`")
        if not self.is_object:
            for key in ("nested", "depth"):
                if key in self.model_fields_set:
                    raise ValueError(f"`{key}` is for objects: it needs `fields`")
            self._check_lending()

    def _check_lending(self) -> None:
        """Where no object is, there is no place for what it would hold."""
        for name, one in self.embed.items():
            if one.is_shown:
                raise ValueError(
                    f"embed {name} can't be shown here, where no object is: only a `one` without "
                    "`fields`, for expressions to read"
                )


Embeds: TypeAlias = Annotated[dict[FieldName, EmbedConfig], Field(min_length=1)]
"""Embeds by name."""

_ALL_KINDS: Final[tuple[str, ...]] = get_args(Kind)


def distinct_names(
    fields: Mapping[str, FieldConfig] | None, embeds: Mapping[str, EmbedConfig]
) -> None:
    """Raise ValueError where an embed and a field, or another embed, are in each other's place."""
    shown = [name for name, one in embeds.items() if one.is_shown]
    for name in shown:
        if fields is not None and name in fields:
            raise ValueError(f'"{name}" is both a field and an embed: rename one')
    clashing_fields({**(fields or {}), **dict.fromkeys(shown)})
