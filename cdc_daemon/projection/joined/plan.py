"""The plan of a projection: a tree of immutable, typed parts that says which rows make a document.

All else is derived from it: what the state keeps, how a change finds its documents, how they are
assembled, and the SQL that yields the same from the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.config.embeds import Kind
    from cdc_daemon.events import Column, ColumnType, Relation, Row
    from cdc_daemon.ports import FieldSpec, ReadModel
    from cdc_daemon.projection.document import Part
    from cdc_daemon.projection.expressions import CompiledExpression
    from cdc_daemon.values import Form


class Borrowed(NamedTuple):
    """A column that expressions of a level read from one of its `one` embeds."""

    embed: str
    column: str
    """By its name in the `readable` of the embed's level."""

    @property
    def name(self) -> str:
        """As expressions name it."""
        return f"{self.embed}.{self.column}"


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One value of an object."""

    spec: FieldSpec
    form: Form
    part: Part
    """How it is made of a row of the level's `readable`. Of an aggregate: place or expression give
    what is aggregated; default and conversion are for the result."""
    column: Column | None = None
    expression: CompiledExpression | None = None
    """It is made of one of these, or a constant."""

    @property
    def name(self) -> str:
        """As the document has it."""
        return self.part.name

    @property
    def argument(self) -> ColumnType | None:
        """The type of what it is made of; None for a constant."""
        if self.expression is not None:
            return self.expression.type
        return None if self.column is None else self.column.type


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The rows of one table in one role: which of them count, and what an object shows of them."""

    relation: Relation
    """The table, with every column that any projection of the pipeline reads."""
    key: tuple[str, ...]
    """The columns that tell its rows apart, and settle the order of equals."""
    readable: Relation
    """What `where`, fields and value see: the columns of `relation`, then `borrowed`."""
    borrowed: tuple[Borrowed, ...]
    """Null where the `one` embed finds no row."""
    where: CompiledExpression | None
    fields: tuple[Field, ...]
    embeds: tuple[Embed, ...]

    def column(self, name: str) -> Column:
        """A column of `readable`."""
        return self.readable.columns[self.readable.index_of(name)]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """From a row to the rows of another table that belong to it: those with equal columns.

    NULL equals nothing.
    """

    relation: Relation
    pairs: tuple[tuple[str, str], ...]
    """Columns of `relation`, each with the column of the nearer table that it is equal to."""
    where: CompiledExpression | None = None
    """Of a junction: which of its rows link. The last step leads to a level, which has its own."""


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One column that rows are put in order by."""

    column: str
    type: ColumnType
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Embed:
    """Rows that belong to a row of the level above, and what is made of them.

    In this sequence: the rows that the steps lead to and `where` includes, one for each path; in
    `order`; without those that `distinct` takes away; the first `limit`.
    """

    name: str
    kind: Kind
    steps: tuple[Step, ...]
    level: Level
    """The rows that the last step leads to."""
    spec: FieldSpec
    value: Field | None = None
    """What each row gives, or what is aggregated; without one each gives its object, or counts."""
    order: tuple[OrderKey, ...] = ()
    """Ends with the key of the level, so that it leaves nothing open. Empty where none matters."""
    limit: int | None = None
    distinct: bool = False
    """Of equal values the first stays; without `value` of equal rows."""
    shown: bool = True
    """Otherwise it only lends columns."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Which rows make the documents of one projection."""

    model: ReadModel
    root: Level
    id: tuple[str, ...]
    """The columns that make the document id."""
    id_of: Callable[[Row], bytes]
    """The document id as a JSON string, of a row of the root."""
    max_document_bytes: int
    reads: frozenset[tuple[str, str]]
    """The tables and columns that it reads: others that its relations have, only others read."""
    id_template: str | None = None
    """The text with the columns in braces; None where they are joined."""
    routing: str | None = None
    """The column that says the shard of a document; None: its id does."""
    routing_of: Callable[[Row], bytes] | None = None
    """The same as a JSON string, of a row of the root."""

    @property
    def name(self) -> str:
        """The read model."""
        return self.model.name

    @property
    def relation(self) -> Relation:
        """The table whose rows have a document each."""
        return self.root.relation

    @property
    def columns_shown(self) -> dict[str, str]:
        """Field to column, for fields that show a column of the root as it is."""
        return {
            field.name: field.column.name
            for field in self.root.fields
            if field.column is not None and field.part.conversion.always is None
        }

    @property
    def relations(self) -> tuple[Relation, ...]:
        """Every table that it reads, each once."""
        return tuple(dict.fromkeys(relations_of(self.root)))


def tables_of(plan: Plan) -> set[str]:
    """The names of the tables that it reads."""
    return {relation.qualified_name for relation in plan.relations}


def levels_of(level: Level) -> Iterator[Level]:
    """The level and all below."""
    yield level
    for embed in level.embeds:
        yield from levels_of(embed.level)


def relations_of(level: Level) -> Iterator[Relation]:
    """The tables of the level, and of all that lies below."""
    yield level.relation
    for embed in level.embeds:
        yield from (step.relation for step in embed.steps)
        yield from relations_of(embed.level)
