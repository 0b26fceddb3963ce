"""IN, ANY and ALL: one value beside a list of values, or an array."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cdc_daemon.projection.expressions import casts, documents, folding
from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.syntax import Apply, CastTo
from cdc_daemon.projection.expressions.tree import Call, Constant, Form, Tree, may_raise
from cdc_daemon.projection.expressions.types import BOOL, common_type, shown
from cdc_daemon.values.python import decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.projection.expressions.binding import Binder
    from cdc_daemon.projection.expressions.syntax import Syntax


def is_in(binder: Binder, apply: Apply) -> Tree:
    """PostgreSQL makes one array of the constants and looks there first; the rest one by one."""
    value, *items = binder.bind_all(apply.arguments)
    known = [item for item in items if isinstance(item, Constant)]
    others = [item for item in items if not isinstance(item, Constant)]
    tests = [_one_of(binder, value, known, apply.at)] if known else []
    tests += [binder.operator("=", [value, item], apply.at) for item in others]
    return folding.logic("or", tests, apply.at)


def _one_of(binder: Binder, value: Tree, items: Sequence[Tree], at: int) -> Tree:
    """`value = item or value = item ...`, in one look-up where all items are known."""
    if len(items) > 1 and common_type([value.type, *(item.type for item in items)]):
        (value, *items), _ = binder.unify([value, *items], "IN", at)
    tests = [binder.operator("=", [value, item], at) for item in items]
    if len(tests) > 1 and all(map(_is_lookup, tests)):
        calls = [test for test in tests if isinstance(test, Call)]
        operands = (calls[0].arguments[0], *(test.arguments[1] for test in calls))
        return Form(BOOL, at, "in", operands, "({0} == {1})")
    return folding.logic("or", tests, at)


def _is_lookup(test: Tree) -> bool:
    return (
        isinstance(test, Call)
        and test.run == "({0} == {1})"
        and isinstance(test.arguments[1], Constant)
    )


def quantified(binder: Binder, apply: Apply) -> Tree:
    """A comparison with any, or with all, of an array or a list."""
    operator, quantifier = apply.name.split()
    written = _with_cast_items(apply.arguments[1])
    if isinstance(written, Apply) and written.name == "array":
        return _quantified_list(binder, apply, written, operator, quantifier)
    value, array = binder.bind_all(apply.arguments)
    element = array.type.base.element
    if array.type.base.kind != "array" or element is None or decoder(element) is None:
        raise ExpressionError(
            f"{quantifier.upper()} needs an array, not {shown(array.type)}", apply.at
        )
    probe = Constant(element, apply.at, None)
    overload, (value, converted) = binder.overload(operator, [value, probe], apply.at)
    run = folding.function_of(overload.run, 2)
    convert = casts.cast_function(element, converted.type)
    test = (
        _any(run, convert or casts.same)
        if quantifier == "any"
        else _all(run, convert or casts.same)
    )
    return folding.fold(Call(BOOL, apply.at, test, (value, array), strict=False))


def _with_cast_items(written: Syntax) -> Syntax:
    """`ARRAY[...]::text[]`, as PostgreSQL shows a list for a varchar, casts each item."""
    if not (isinstance(written, CastTo) and written.target.array):
        return written
    array = written.operand
    if not (isinstance(array, Apply) and array.name == "array"):
        return written
    target = replace(written.target, array=False)
    items = tuple(CastTo(item.at, item, target) for item in array.arguments)
    return replace(array, arguments=items)


def _quantified_list(
    binder: Binder, apply: Apply, written: Apply, operator: str, quantifier: str
) -> Tree:
    value, *items = binder.bind_all([apply.arguments[0], *written.arguments])
    if not items:
        raise ExpressionError("cannot determine type of empty array", written.at)
    items, _ = binder.unify(items, "ARRAY", written.at)
    if any(map(may_raise, items)):  # PostgreSQL makes the whole array before it looks at it
        overload, (value, _) = binder.overload(operator, [value, items[0]], apply.at)
        run = (_any if quantifier == "any" else _all)(
            folding.function_of(overload.run, 2), casts.same
        )
        items = [binder.overload(operator, [value, item], apply.at)[1][1] for item in items]
        parts = (value, *items)
        return Call(BOOL, apply.at, lambda x, *rest: run(x, list(rest)), parts, strict=False)
    tests = [binder.operator(operator, [value, item], apply.at) for item in items]
    if operator == "=" and quantifier == "any":
        return _one_of(binder, value, items, apply.at)
    return folding.logic("or" if quantifier == "any" else "and", tests, apply.at)


def _any(
    run: Callable[..., Any], convert: Callable[[Any], Any]
) -> Callable[[Any, list[Any] | None], bool | None]:
    def test(value: Any, array: list[Any] | None) -> bool | None:
        if array is None or (value is None and array):
            return None
        items = documents.leaves(array)
        if any(run(value, convert(item)) for item in items if item is not None):
            return True
        return None if None in items else False

    return test


def _all(
    run: Callable[..., Any], convert: Callable[[Any], Any]
) -> Callable[[Any, list[Any] | None], bool | None]:
    def test(value: Any, array: list[Any] | None) -> bool | None:
        if array is None or (value is None and array):
            return None
        items = documents.leaves(array)
        if not all(run(value, convert(item)) for item in items if item is not None):
            return False
        return None if None in items else True

    return test
