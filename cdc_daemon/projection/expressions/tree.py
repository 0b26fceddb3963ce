"""A typed expression: every name, overload and implicit cast settled; ready to become Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import ColumnType


@dataclass(frozen=True, slots=True)
class Constant:
    """A value known beforehand, None for NULL; of type `unknown` a string without a type yet."""

    type: ColumnType
    at: int
    value: Any


@dataclass(frozen=True, slots=True)
class ColumnValue:
    """The value of a column of the row."""

    type: ColumnType
    at: int
    place: int
    """Its index in the row."""
    stored: ColumnType
    """The type it is decoded as; `type` may be another name for the same values."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function of its arguments."""

    type: ColumnType
    at: int
    run: Callable[..., Any] | str
    """A function, or a Python expression with {0}, {1} for the arguments."""
    arguments: tuple[Tree, ...]
    raises: bool = True
    strict: bool = True
    """NULL if an argument is NULL, without running."""
    nullable: bool = False
    """It may be NULL although no argument is."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is no function: it decides which operands run, or asks whether they are NULL."""

    type: ColumnType
    at: int
    name: str
    """and, or, not, is null, is true, is false, case, coalesce, nullif, distinct, in, any, all."""
    operands: tuple[Tree, ...]
    compare: Callable[..., Any] | str = ""
    """For nullif, distinct, in, any, all: the comparison."""


Tree: TypeAlias = Constant | ColumnValue | Call | Form


def operands(tree: Tree) -> tuple[Tree, ...]:
    """What a node is made of."""
    if isinstance(tree, Call):
        return tree.arguments
    return tree.operands if isinstance(tree, Form) else ()


def may_raise(tree: Tree) -> bool:
    """Whether running it can fail."""
    return (isinstance(tree, Call) and tree.raises) or any(map(may_raise, operands(tree)))


_NEVER_NULL = frozenset({"is null", "is true", "is false", "distinct"})


def may_be_null(tree: Tree) -> bool:
    """Whether it can be NULL."""
    if isinstance(tree, Constant):
        return tree.value is None
    if isinstance(tree, Call):
        return tree.nullable or not tree.strict or any(map(may_be_null, tree.arguments))
    if isinstance(tree, Form) and tree.name in {"and", "or", "not"}:
        return any(map(may_be_null, tree.operands))
    return not (isinstance(tree, Form) and tree.name in _NEVER_NULL)
