"""What the state keeps: tables, columns, indexes; what is there of what is wanted. Pure.

Each tree in the file has a number that is never used twice, so a table that must be loaded anew is
a new tree beside the old one, which is dropped in slices. A column that nobody reads any longer
keeps its place, so that rows needn't be rewritten, but loses its name: its values are no longer
kept up to date.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cdc_daemon.events import Column, ColumnType, Relation

META, HOLES, COUNTERS, PENDING, FAN_OUTS = "meta", "holes", "counters", "pending", "fanouts"
FAN_OUT_AGES = "fanoutages"
TREES: Final = (META, HOLES, COUNTERS, PENDING, FAN_OUTS, FAN_OUT_AGES)
"""The trees that every state has; those of tables and indexes have numbers."""
SCHEMA: Final = b"schema"
"""Where it is stored, in `META`."""
NUMBER_BYTES: Final = 4
"""Whoever shares a tree has keys that begin with a number."""
_NOBODY_READS: Final = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A column of an index: in which type's order, and which way."""

    column: str
    type: ColumnType
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True)
class IndexWanted:
    """The rows of a table by the values of some columns, those with NULL left out; within each
    group in an order, then by their key.
    """  # noqa: D205 - one sentence

    table: str
    group: tuple[Part, ...]
    order: tuple[Part, ...] = ()

    @property
    def columns(self) -> str:
        """What it groups by and orders by, for people."""
        group = ", ".join(part.column for part in self.group)
        order = ", ".join(part.column + " desc" * part.descending for part in self.order)
        return f"{group} by {order}" if order else group

    @property
    def text(self) -> str:
        """What tells it from others; another order of an enum's labels makes another index."""
        parts = [
            [[p.column, _type_text(p.type, labels=True), p.descending, p.nulls_first] for p in some]
            for some in (self.group, self.order)
        ]
        return orjson.dumps([self.table, *parts]).decode()


@dataclass(frozen=True, slots=True)
class AggregateWanted:
    """Counters that are moved by the rows of some tables."""

    text: str
    """What tells it from others: whoever moves the counters knows what it says."""
    tables: tuple[str, ...]
    indexes: tuple[str, ...] = ()
    """Those by which its rows are found, by their texts."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a configuration needs."""

    relations: tuple[Relation, ...]
    indexes: tuple[IndexWanted, ...] = ()
    aggregates: tuple[AggregateWanted, ...] = ()
    projections: tuple[str, ...] = ()
    """Each by its name and, after a space, what is another text where its documents are."""
    reads: frozenset[tuple[str, str]] | None = None
    """The tables and columns that are kept, beside keys; None: all that the relations have."""

    def columns(self, relation: Relation) -> tuple[Column, ...]:
        """What is kept of the rows of a table."""
        if self.reads is None:
            return relation.columns
        table, key = relation.qualified_name, identity_of(relation)
        return tuple(
            column
            for column in relation.columns
            if column.name in key or (table, column.name) in self.reads
        )


@dataclass(frozen=True, slots=True)
class TableKept:
    """A table as it is kept."""

    number: int
    columns: tuple[tuple[str, str], ...]
    """Name, and type with what protects the values; no name where nobody reads it any longer."""
    key: tuple[str, ...]
    loaded: bool = False
    """Whether its rows are all there; otherwise some are, and the rest must be read."""


@dataclass(frozen=True, slots=True)
class IndexKept:
    """An index as it is kept."""

    number: int
    table: int
    columns: str
    """What it groups by and orders by, for people."""
    built: bool = False


@dataclass(frozen=True, slots=True)
class AggregateKept:
    """An aggregate as it is kept."""

    number: int
    tables: tuple[int, ...]
    counted: bool = False
    """Whether its counters are those of the rows; otherwise they must be counted from them."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What is kept."""

    tables: dict[str, TableKept] = field(default_factory=dict)
    indexes: dict[str, IndexKept] = field(default_factory=dict)
    aggregates: dict[str, AggregateKept] = field(default_factory=dict)
    projections: dict[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    """Trees that nobody reads, and that are still there."""
    next: int = 1

    def to_json(self) -> bytes:
        """As it is stored."""
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, stored: bytes) -> Schema:
        """As it was stored."""
        found: dict[str, Any] = orjson.loads(stored)
        tables = {
            name: TableKept(
                one["number"],
                tuple((column, kind) for column, kind in one["columns"]),
                tuple(one["key"]),
                one["loaded"],
            )
            for name, one in found["tables"].items()
        }
        indexes = {text: IndexKept(**one) for text, one in found["indexes"].items()}
        aggregates = {
            text: AggregateKept(one["number"], tuple(one["tables"]), one["counted"])
            for text, one in found["aggregates"].items()
        }
        return cls(
            tables,
            indexes,
            aggregates,
            found["projections"],
            tuple(found["dropped"]),
            found["next"],
        )

    @property
    def to_load(self) -> list[str]:
        """The tables of which rows are missing."""
        return [name for name, table in self.tables.items() if not table.loaded]

    @property
    def to_build(self) -> list[str]:
        """The indexes that lack entries of rows that are there."""
        return [text for text, index in self.indexes.items() if not index.built]

    @property
    def to_count(self) -> list[str]:
        """The aggregates whose counters must be counted from the rows that are there."""
        return [text for text, one in self.aggregates.items() if not one.counted]

    def lacks(self, wanted: Wanted) -> str:
        """What isn't there of it, for people; empty where all is that there is a place for."""
        names = {relation.qualified_name for relation in wanted.relations}
        if tables := names.intersection(self.to_load):
            return f"rows of {', '.join(sorted(tables))}"
        if {one.text for one in wanted.indexes}.intersection(self.to_build):
            return "an index of rows"
        if {one.text for one in wanted.aggregates}.intersection(self.to_count):
            return "counters of rows"
        return ""

    def counted(self, aggregate: str) -> Schema:
        """With the counters of an aggregate right."""
        one = replace(self.aggregates[aggregate], counted=True)
        return replace(self, aggregates=self.aggregates | {aggregate: one})

    def loaded(self, table: str) -> Schema:
        """With all rows of `table` there."""
        return replace(self, tables=self.tables | {table: replace(self.tables[table], loaded=True)})

    def built(self, index: str) -> Schema:
        """With all entries of an index there."""
        return replace(
            self, indexes=self.indexes | {index: replace(self.indexes[index], built=True)}
        )


def tree_of_table(number: int) -> str:
    """The name of a table's tree."""
    return f"table {number}"


def tree_of_index(number: int) -> str:
    """The name of an index's tree."""
    return f"index {number}"


def fitted(kept: Schema, wanted: Wanted, anew: Collection[str] = ()) -> Schema:
    """The schema for what is wanted, with all of what is kept that can be gone on with.

    A table goes on if its key and every wanted column are as they were, with the same rules that
    protect their values, if it holds no column that is excluded now, and if it isn't one of those
    to be loaded `anew`. A new table is to be loaded, a new index to be built unless its table is
    new and brings it along, a new aggregate to be counted. An aggregate is counted anew, too, where
    its ways lead over an index that isn't there yet; another one on its tables is no matter.
    """
    numbers = _Numbers(kept.next)
    going_on = {name: table for name, table in kept.tables.items() if name not in anew}
    tables = {
        relation.qualified_name: _table(
            going_on.get(relation.qualified_name), relation, wanted.columns(relation), numbers
        )
        for relation in wanted.relations
    }
    indexes = {one.text: _index(kept, one, tables[one.table], numbers) for one in wanted.indexes}
    lacking = {text for text, one in indexes.items() if not one.built}
    schema = Schema(
        tables,
        indexes,
        {one.text: _aggregate(kept, one, tables, lacking, numbers) for one in wanted.aggregates},
        _numbered(kept.projections, wanted.projections, numbers),
    )
    left = _parts(kept) - _parts(schema)
    return replace(schema, dropped=(*kept.dropped, *sorted(left)), next=numbers.next)


def _index(kept: Schema, wanted: IndexWanted, table: TableKept, numbers: _Numbers) -> IndexKept:
    found = kept.indexes.get(wanted.text)
    if found is not None and found.table == table.number:
        return found
    built = table.number >= kept.next
    return IndexKept(numbers.take(), table.number, wanted.columns, built)


def _aggregate(
    kept: Schema,
    wanted: AggregateWanted,
    tables: dict[str, TableKept],
    lacking: set[str],
    numbers: _Numbers,
) -> AggregateKept:
    found = kept.aggregates.get(wanted.text)
    own = tuple(tables[name].number for name in wanted.tables)
    if found is not None and found.tables == own and lacking.isdisjoint(wanted.indexes):
        return found
    return AggregateKept(numbers.take(), own)


@dataclass(slots=True)
class _Numbers:
    next: int

    def take(self) -> int:
        """A number that was never taken."""
        self.next += 1
        return self.next - 1


def _parts(schema: Schema) -> set[str]:
    """Everything that takes up room, by a name of its own."""
    return {
        *(tree_of_table(table.number) for table in schema.tables.values()),
        *(f"{HOLES} {table.number}" for table in schema.tables.values()),
        *(tree_of_index(index.number) for index in schema.indexes.values()),
        *(f"{COUNTERS} {aggregate.number}" for aggregate in schema.aggregates.values()),
        *(f"{PENDING} {number}" for number in schema.projections.values()),
        *(f"{FAN_OUTS} {number}" for number in schema.projections.values()),
        *(f"{FAN_OUT_AGES} {number}" for number in schema.projections.values()),
    }


def place_of(part: str) -> tuple[str, bytes]:
    """The tree in which a part is, and what its keys begin with."""
    kind, number = part.split()
    if kind in TREES:
        return kind, int(number).to_bytes(NUMBER_BYTES, "big")
    return part, b""


def _table(
    kept: TableKept | None, relation: Relation, read: Iterable[Column], numbers: _Numbers
) -> TableKept:
    columns = tuple((column.name, _values_text(column)) for column in read)
    key = identity_of(relation)
    if kept is None or kept.key != key or not set(columns) <= set(kept.columns):
        return TableKept(numbers.take(), columns, key)
    if not {name for name, _ in kept.columns}.isdisjoint(relation.excluded):
        return TableKept(numbers.take(), columns, key)
    known = [(n if (n, t) in columns else _NOBODY_READS, t) for n, t in kept.columns]
    return replace(kept, columns=tuple(known))


def identity_of(relation: Relation) -> tuple[str, ...]:
    """The columns by which the stream names a row of `relation`."""
    if relation.replica_identity in {"default", "full"} and relation.primary_key:
        return relation.primary_key
    return tuple(column.name for column in relation.columns if column.in_identity)


def _numbered(kept: dict[str, int], wanted: Iterable[str], numbers: _Numbers) -> dict[str, int]:
    return {name: kept[name] if name in kept else numbers.take() for name in wanted}


def _values_text(column: Column) -> str:
    """All that the JSON of its values depends on: rows are kept as rules have made them."""
    kind = _type_text(column.type)
    return kind if column.protection is None else f"{kind} {column.protection.digest}"


def _type_text(type: ColumnType, *, labels: bool = False) -> str:  # noqa: A002 - as in `values`
    """All that the JSON of a value depends on; labels of an enum, where their order counts."""
    parts: list[object] = [type.kind, type.name, type.modifier, type.delimiter]
    if type.element is not None:
        parts.append(_type_text(type.element, labels=labels))
    parts.extend([name, _type_text(one, labels=labels)] for name, one in type.attributes)
    if labels:
        parts.extend(type.labels)
    return orjson.dumps(parts).decode()
