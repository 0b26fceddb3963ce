"""What can be told of keys and columns: which are equal, unique, and in which order. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.values import canonical_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdc_daemon.events import Column, ColumnType, Relation

_CLASSES: Final = {
    **dict.fromkeys(("int2", "int4", "int8", "numeric"), "exact number"),
    **dict.fromkeys(("text", "varchar", "name"), "text"),
}
"""Types whose values are equal to PostgreSQL exactly when their canonical forms are; every other
type is comparable with itself alone (real and double precision show equal digits of unequal
values)."""

_ORDERED: Final = frozenset(
    {
        *("bool", "int2", "int4", "int8", "numeric", "float4", "float8"),
        *("text", "varchar", "bpchar", "uuid", "bytea"),
        *("date", "time", "timestamp", "timestamptz", "interval"),
    }
)
"""Base types whose order can be had from their values; text is in the order of its bytes."""

COLLATED: Final = frozenset({"text", "varchar", "bpchar"})
"""Of these, what the database puts in another order unless told."""


def key_of(table: Relation) -> tuple[str, ...]:
    """The columns by which changes name a row; empty where there are none."""
    if table.replica_identity == "index":
        return tuple(column.name for column in table.columns if column.in_identity)
    return table.primary_key


def is_ordered(type: ColumnType) -> bool:  # noqa: A002 - what it is
    """Whether values can be put in PostgreSQL's order."""
    base = type.base
    return base.kind == "enum" or (base.kind == "base" and base.name in _ORDERED)


def has_equality(type: ColumnType) -> str | None:  # noqa: A002 - what it is
    """None where equal values can be told; otherwise why not."""
    try:
        canonical_key(type)
    except ConfigurationError as error:
        return str(error)
    return None


def are_comparable(one: Column, other: Column) -> bool:
    """Whether the two columns are equal exactly when their canonical forms are."""
    if not has_equality(one.type) is has_equality(other.type) is None:
        return False
    left, right = one.type.base, other.type.base
    if left.kind != "base" or right.kind != "base":
        return (left.kind, left.name, left.labels) == (right.kind, right.name, right.labels)
    return _CLASSES.get(left.name, left.name) == _CLASSES.get(right.name, right.name)


def is_unique(table: Relation, columns: Iterable[str]) -> bool:
    """Whether no two rows can have the same values in `columns`."""
    given = set(columns)
    keys = [*table.unique_keys, table.primary_key]
    return any(key and given.issuperset(key) for key in keys)
