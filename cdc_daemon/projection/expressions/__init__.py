"""PostgreSQL scalar expressions, compiled to Python functions of a row.

The subset, and what is refused and why, is in docs/reference/expressions.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc_daemon.errors import RejectedError
from cdc_daemon.projection.expressions.binding import Binder
from cdc_daemon.projection.expressions.emit_json import compile_json, compile_test
from cdc_daemon.projection.expressions.errors import ExpressionError, excluded_column
from cdc_daemon.projection.expressions.parser import parse
from cdc_daemon.projection.expressions.tree import ColumnValue, Tree, operands
from cdc_daemon.projection.expressions.types import BOOL, TEXT, name_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.events import ColumnType, Relation, Row

__all__ = [
    "CompiledExpression",
    "ExpressionError",
    "compile_condition",
    "compile_expression",
    "excluded_column",
]


@dataclass(frozen=True, slots=True)
class CompiledExpression:
    """An expression over the rows of one relation."""

    sql: str
    """As PostgreSQL takes it."""
    type: ColumnType
    """What it results in."""
    columns: tuple[str, ...]
    """The columns it reads, in the order of first use."""
    computed: tuple[str, ...]
    """The generated columns that it computes, since they are in no row."""
    evaluate: Callable[[Row], bytes]
    """A row in the relation's order to the JSON text of the value, `b"null"` for NULL.

    Raises RejectedError where PostgreSQL raises an error. None of `columns` may be UNCHANGED.
    """
    test: Callable[[Row], bool]
    """For a boolean expression: true only if the value is TRUE, neither FALSE nor NULL."""


def compile_expression(sql: str, relation: Relation) -> CompiledExpression:
    """Compile `sql` against the columns of `relation`. Raises ExpressionError with the offset."""
    binder = Binder(relation)
    return _compiled(sql, binder, _bound(sql, binder))


def compile_condition(sql: str, relation: Relation) -> CompiledExpression:
    """Compile what must be boolean, such as `where`. Raises ExpressionError if it is not."""
    binder = Binder(relation)
    tree = _bound(sql, binder)
    if name_of(tree.type) not in {"bool", "unknown"}:
        raise ExpressionError(f"a condition must be of type boolean, not {shown(tree.type)}")
    if name_of(tree.type) == "unknown":
        tree = binder.coerce(tree, BOOL)
    return _compiled(sql, binder, tree)


def _bound(sql: str, binder: Binder) -> Tree:
    try:
        return binder.bind(parse(sql))
    except RejectedError as error:
        raise ExpressionError(f"this fails for every row: {error.explanation}") from error


def _compiled(sql: str, binder: Binder, tree: Tree) -> CompiledExpression:
    if name_of(tree.type) == "unknown":
        tree = binder.coerce(tree, TEXT)
    names = [column.name for column in binder.relation.columns]
    columns = tuple(dict.fromkeys(names[column.place] for column in _columns(tree)))
    computed = tuple(binder.computed)
    test = compile_test(tree) if name_of(tree.type) == "bool" else _no_condition
    return CompiledExpression(sql, tree.type, columns, computed, compile_json(tree), test)


def _no_condition(_: Row) -> bool:
    raise ExpressionError("the expression is not boolean: use `evaluate`")


def _columns(tree: Tree) -> Iterator[ColumnValue]:
    if isinstance(tree, ColumnValue):
        yield tree
    for part in operands(tree):
        yield from _columns(part)
