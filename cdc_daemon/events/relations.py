"""Tables as they are in the catalog: columns, their types, keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


TypeKind: TypeAlias = Literal["base", "array", "enum", "domain", "composite", "range", "multirange"]


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A PostgreSQL type, resolved from the catalog as far down as it goes."""

    name: str
    """`pg_type.typname`: `int4`, `text`, `timestamptz`, `_int4`; an extension's own name."""
    kind: TypeKind = "base"
    modifier: int = -1
    """`atttypmod`: the declared length, precision and scale; -1 where there is none."""
    element: ColumnType | None = None
    """What an array holds, what a domain is based on, what a range spans."""
    attributes: tuple[tuple[str, ColumnType], ...] = ()
    """The attributes of a composite type."""
    labels: tuple[str, ...] = ()
    """The labels of an enum, in their order."""
    delimiter: str = ","
    """What is between the elements of an array of this type: a semicolon for box."""
    oid: int = field(default=0, compare=False)
    """`pg_type.oid`, by which the stream names the type: another one means the column changed."""
    declared: str = ""
    """The type as SQL writes it (`character varying(20)`), for people and for casts."""

    @property
    def base(self) -> ColumnType:
        """The type under all domains."""
        here = self
        while here.kind == "domain" and here.element is not None:
            here = here.element
        return here


@dataclass(frozen=True, slots=True)
class Protection:
    """What a source does to the values of a column before they leave it."""

    kind: Literal["hashed", "masked", "truncated"]
    declared: str
    """The type in the source, as SQL writes it; `Column.type` is what leaves the source."""
    digest: str
    """Of all that the values depend on, a salt too: another digest means other documents."""
    encode: Callable[[bytes], bytes] = field(compare=False, repr=False)
    """From the source's text of a value to the JSON text that leaves the source."""

    @property
    def keeps_apart(self) -> bool:
        """Whether two values stay two: only then can they be a document id."""
        return self.kind == "hashed"


@dataclass(frozen=True, slots=True)
class Generated:
    """How a generated column comes by its values."""

    expression: str
    """Over other columns of the row, as SQL; empty where partitions have others than the table."""
    inputs: tuple[str, ...]
    """The columns that it is made of."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a relation, as the catalog describes it."""

    name: str
    type: ColumnType
    nullable: bool = True
    in_identity: bool = False
    """Part of the replica identity: sent as the old key of an update or delete."""
    out_of_line: bool = False
    """Large values may be stored out of line (TOAST), and are then left out of updates."""
    generated: Generated | None = None
    protection: Protection | None = None
    plain: bool = True
    """As `ColumnShape.plain`: a row that lacks the column holds null."""
    equal_by_text: bool = True
    """Whether the source takes values for equal by their text; not under a nondeterministic
    collation, which may take 'a' and 'A' for one."""


ReplicaIdentity: TypeAlias = Literal["default", "full", "index", "nothing"]


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """A table, with the columns that the mappings read (all of them before they are compiled).

    Compared by identity: changes carry the very object that `Source.start` was given, so that the
    hot path can look up what to do with a change by it.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    replica_identity: ReplicaIdentity = "default"
    kind: Literal["table", "partitioned", "view", "materialized view", "foreign table"] = "table"
    excluded: tuple[str, ...] = ()
    """Columns that the source keeps to itself: to mappings they don't exist."""
    unique_keys: tuple[tuple[str, ...], ...] = ()
    """Columns of which no two rows have the same values, the primary key's among them."""
    immediate_keys: tuple[tuple[str, ...], ...] = ()
    """Those of them that hold at every moment, and not only at a commit."""
    computed: tuple[Column, ...] = ()
    """Generated columns that the source doesn't stream: they are in no row, and are computed where
    they are shown."""
    is_open: bool = False
    """Whether a mapping shows every column, those to come included."""
    missing: frozenset[str] = frozenset()
    """Columns that mappings name and that aren't there: they may come."""
    known: frozenset[str] = frozenset()
    """Every column of the table, mapped or not."""
    order: tuple[str, ...] = ()
    """Those that aren't generated, in their places; empty where one is, or was dropped."""
    has_rows: bool = True
    """Whether the source has its rows, to be read beside the stream; not where they are only what
    messages have said of them."""
    stands_for: Relation | None = None
    """Of a table in another shape than the mappings were compiled for: their relation. Its changes
    hold no values, and `misfit` says why."""
    misfit: str = ""

    @property
    def qualified_name(self) -> str:
        """`schema.name`, the way the configuration names it."""
        return f"{self.schema}.{self.name}"

    @property
    def key(self) -> tuple[str, ...]:
        """What old rows are told by, and new ones: the primary key, or the index of the replica
        identity. Empty where the table has neither.
        """  # noqa: D205 - one sentence
        if self.replica_identity == "index":
            return tuple(column.name for column in self.columns if column.in_identity)
        names = {column.name for column in self.columns}
        return self.primary_key if names.issuperset(self.primary_key) else ()

    def added(self, there: Iterable[str]) -> list[str]:
        """Which of the columns that the table has now are new, and to be shown."""
        new = frozenset(there) - self.known
        return sorted(new if self.is_open else new & self.missing)

    def index_of(self, column: str) -> int:
        """The place of `column` in a row. Raises KeyError when there is no such column."""
        for at, candidate in enumerate(self.columns):
            if candidate.name == column:
                return at
        raise KeyError(column)
