"""Building nodes: what is known beforehand is worked out once, as PostgreSQL's planner does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdc_daemon.errors import RejectedError
from cdc_daemon.projection.expressions import documents
from cdc_daemon.projection.expressions.casts import same
from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.functions import NAMESPACE
from cdc_daemon.projection.expressions.tree import Call, ColumnValue, Constant, Form, Tree
from cdc_daemon.projection.expressions.types import BOOL, Overload, simple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.events import ColumnType


def function_of(run: Callable[..., Any] | str, count: int) -> Callable[..., Any]:
    """A Python function, also where the overload is written as an expression."""
    if not isinstance(run, str):
        return run
    names = [f"a{at}" for at in range(count)]
    source = f"lambda {', '.join(names)}: {run.format(*names)}"
    made: Callable[..., Any] = eval(source, dict(NAMESPACE))  # noqa: S307  our own table, not the user's text
    return made


def call(
    overload: Overload, arguments: Sequence[Tree], at: int, result: ColumnType | None = None
) -> Tree:
    """A strict call of an overload."""
    if overload.run in {documents.field, documents.field_text} and (
        chained := _chain(overload, arguments, at)
    ):
        return chained
    node = Call(
        result or simple(overload.result), at, overload.run, tuple(arguments), overload.raises
    )
    return fold(_may_miss(node, overload))


def _chain(overload: Overload, arguments: Sequence[Tree], at: int) -> Tree | None:
    """Known keys one after another need only one look at the document."""
    document, key = arguments
    if not isinstance(key, Constant) or key.value is None:
        return None
    keys: tuple[str | int, ...] = (key.value,)
    if isinstance(document, Call) and isinstance(document.run, documents.Chain):
        keys = (*document.run.keys, *keys)
        document = document.arguments[0]
    run = documents.Chain(keys, as_text=overload.result == "text")
    return fold(Call(simple(overload.result), at, run, (document,), raises=False, nullable=True))


def _may_miss(node: Call, overload: Overload) -> Call:
    """Accessors of jsonb return NULL for what is not there."""
    if (
        overload.arguments
        and overload.arguments[0] == "jsonb"
        and overload.result in {"jsonb", "text"}
    ):
        return Call(node.type, node.at, node.run, node.arguments, node.raises, nullable=True)
    return node


def fold(node: Call) -> Tree:
    """The constant that a call of constants is."""
    values = [argument.value for argument in node.arguments if isinstance(argument, Constant)]
    if node.strict and any(value is None for value in values):
        return Constant(node.type, node.at, None)
    if len(values) < len(node.arguments):
        return node
    try:
        value = function_of(node.run, len(values))(*values)
    except RejectedError as error:
        raise ExpressionError(f"this fails for every row: {error.explanation}", node.at) from error
    return Constant(node.type, node.at, value)


def convert(tree: Tree, target: ColumnType, run: Callable[[Any], Any]) -> Tree:
    """A cast; one that changes nothing but the name of the type costs nothing."""
    if run is not same:
        return fold(Call(target, tree.at, run, (tree,)))
    if isinstance(tree, Constant):
        return Constant(target, tree.at, tree.value)
    if isinstance(tree, ColumnValue):
        return ColumnValue(target, tree.at, tree.place, tree.stored)
    if isinstance(tree, Form):
        return Form(target, tree.at, tree.name, tree.operands, tree.compare)
    return Call(
        target,
        tree.at,
        tree.run,
        tree.arguments,
        tree.raises,
        tree.strict,
        tree.nullable,
    )


def logic(name: str, parts: Sequence[Tree], at: int) -> Tree:
    """AND or OR, without what can't matter."""
    decides = name == "or"
    kept: list[Tree] = []
    for part in parts:
        if isinstance(part, Constant) and part.value is decides:
            return Constant(BOOL, at, decides)
        if not (isinstance(part, Constant) and part.value is (not decides)):
            kept.append(part)
    if not kept:
        return Constant(BOOL, at, not decides)
    if all(isinstance(part, Constant) for part in kept):
        return Constant(BOOL, at, None)
    return kept[0] if len(kept) == 1 else Form(BOOL, at, name, tuple(kept))


def negation(tree: Tree, at: int) -> Tree:
    """NOT."""
    if isinstance(tree, Constant):
        return Constant(BOOL, at, None if tree.value is None else not tree.value)
    return Form(BOOL, at, "not", (tree,))


def case(parts: Sequence[Tree], result: ColumnType, at: int) -> Tree:
    """CASE: condition and value of each branch, then the default."""
    kept: list[Tree] = []
    default = parts[-1]
    for condition, value in zip(parts[:-1:2], parts[1::2], strict=True):
        if not isinstance(condition, Constant):
            kept += [condition, value]
        elif condition.value is True:
            default = value
            break
    return Form(result, at, "case", (*kept, default)) if kept else default


def coalesce(parts: Sequence[Tree], result: ColumnType, at: int) -> Tree:
    """COALESCE, up to the first that can't be NULL."""
    kept: list[Tree] = []
    for part in parts:
        if not (isinstance(part, Constant) and part.value is None):
            kept.append(part)
            if isinstance(part, Constant):
                break
    if not kept:
        return Constant(result, at, None)
    return kept[0] if len(kept) == 1 else Form(result, at, "coalesce", tuple(kept))
