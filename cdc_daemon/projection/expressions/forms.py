"""The special forms: logic, CASE, COALESCE, LIKE and whatever is no ordinary function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.errors import RejectedError
from cdc_daemon.projection.expressions import casts, documents, folding, texts, times
from cdc_daemon.projection.expressions.collations import is_collatable
from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.functions import COMPARISONS
from cdc_daemon.projection.expressions.lists import is_in, quantified
from cdc_daemon.projection.expressions.syntax import Apply, CastTo, Literal
from cdc_daemon.projection.expressions.tree import Call, Constant, Form, Tree
from cdc_daemon.projection.expressions.types import (
    BOOL,
    INT4,
    TEXT,
    Overload,
    name_of,
    shown,
    simple,
)
from cdc_daemon.values.python import decoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.projection.expressions.binding import Binder


def _logic(binder: Binder, apply: Apply) -> Tree:
    parts = [
        binder.condition(part, apply.name.upper()) for part in binder.bind_all(apply.arguments)
    ]
    return folding.logic(apply.name, parts, apply.at)


def _not(binder: Binder, apply: Apply) -> Tree:
    return folding.negation(binder.condition(binder.bind(apply.arguments[0]), "NOT"), apply.at)


def _test(binder: Binder, apply: Apply) -> Tree:
    """IS [NOT] NULL, TRUE, FALSE or UNKNOWN."""
    words = apply.name.split()
    operand = binder.bind(apply.arguments[0])
    if words[-1] != "null":
        operand = binder.condition(operand, apply.name.upper())
    name = "is null" if words[-1] == "unknown" else f"is {words[-1]}"
    found = _tested(name, operand, apply.at)
    return folding.negation(found, apply.at) if "not" in words else found


def _tested(name: str, operand: Tree, at: int) -> Tree:
    if isinstance(operand, Constant):
        expected = {"is null": None, "is true": True, "is false": False}[name]
        return Constant(BOOL, at, operand.value is expected)
    return Form(BOOL, at, name, (operand,))


def _compared(binder: Binder, name: str, operator: str, parts: list[Tree], at: int) -> Form:
    overload, parts = binder.overload(operator, parts, at)
    return Form(BOOL, at, name, tuple(parts), overload.run)


def _distinct(binder: Binder, apply: Apply) -> Tree:
    form = _compared(binder, "distinct", "=", binder.bind_all(apply.arguments), apply.at)
    return folding.negation(form, apply.at) if "not" in apply.name else form


def _nullif(binder: Binder, apply: Apply) -> Tree:
    _count(apply, 2)
    form = _compared(binder, "nullif", "=", binder.bind_all(apply.arguments), apply.at)
    value, other = form.operands
    if any(isinstance(part, Constant) and part.value is None for part in form.operands):
        return value
    if isinstance(value, Constant) and isinstance(other, Constant):
        same = folding.function_of(form.compare, 2)(value.value, other.value)
        return Constant(value.type, form.at, None) if same else value
    return Form(value.type, form.at, "nullif", form.operands, form.compare)


def _count(apply: Apply, least: int, most: int | None = None) -> None:
    count = len(apply.arguments)
    if not least <= count <= (most or least):
        raise ExpressionError(f"{apply.name} takes {least} arguments, not {count}", apply.at)


def _between(binder: Binder, apply: Apply) -> Tree:
    value, low, high = binder.bind_all(apply.arguments)

    def within(lowest: Tree, highest: Tree) -> Tree:
        above = binder.operator(">=", [value, lowest], apply.at)
        return folding.logic(
            "and", [above, binder.operator("<=", [value, highest], apply.at)], apply.at
        )

    if apply.name == "between":
        return within(low, high)
    return folding.logic("or", [within(low, high), within(high, low)], apply.at)


def _like(binder: Binder, apply: Apply) -> Tree:
    parts = binder.bind_all(apply.arguments)
    if len(parts) > 2:  # noqa: PLR2004  text, pattern, escape
        escape = binder.coerce(parts.pop(), TEXT)
        if not isinstance(escape, Constant) or escape.value is None:
            raise ExpressionError("ESCAPE must be a literal", escape.at)
        character = escape.value
    else:
        character = "\\"
    _, (text, pattern) = binder.overload(apply.name, parts, apply.at)
    if isinstance(pattern, Constant) and pattern.value is not None:
        return _known_like(apply, text, pattern, character)
    run = texts.like if apply.name == "like" else texts.ilike
    return folding.fold(Call(BOOL, apply.at, lambda x, y: run(x, y, character), (text, pattern)))


def _known_like(apply: Apply, text: Tree, pattern: Constant, escape: str) -> Tree:
    folded = apply.name == "ilike"
    try:
        match = texts.like_matcher(texts.lower(pattern.value) if folded else pattern.value, escape)
    except RejectedError as error:
        raise ExpressionError(error.explanation, pattern.at) from error
    run = (lambda value: match(texts.lower(value))) if folded else match
    return folding.fold(Call(BOOL, apply.at, run, (text,), raises=False))


def _case(binder: Binder, apply: Apply) -> Tree:
    parts = binder.bind_all(apply.arguments)
    if apply.name == "case of":
        operand = parts.pop(0)
        if name_of(operand.type) == "unknown":
            operand = binder.coerce(operand, TEXT)
        for at in range(0, len(parts) - 1, 2):
            parts[at] = binder.operator("=", [operand, parts[at]], apply.at)
    else:
        for at in range(0, len(parts) - 1, 2):
            parts[at] = binder.condition(parts[at], "CASE/WHEN")
    # PostgreSQL takes the default first when it looks for the common type
    (default, *values), result = binder.unify([parts[-1], *parts[1:-1:2]], "CASE", apply.at)
    parts[1:-1:2], parts[-1] = values, default
    return folding.case(parts, result, apply.at)


def _coalesce(binder: Binder, apply: Apply) -> Tree:
    _count(apply, 1, 1000)
    parts, result = binder.unify(binder.bind_all(apply.arguments), "COALESCE", apply.at)
    return folding.coalesce(parts, result, apply.at)


def _extreme(binder: Binder, apply: Apply) -> Tree:
    _count(apply, 1, 1000)
    parts, result = binder.unify(binder.bind_all(apply.arguments), apply.name.upper(), apply.at)
    binder.overload("<", [parts[0], parts[0]], apply.at)  # refuses what has no order
    pick = max if apply.name == "greatest" else min
    key = _order_key(result.base)

    def extreme(*values: Any) -> Any:
        return pick((value for value in values if value is not None), key=key, default=None)

    return folding.fold(Call(result, apply.at, extreme, tuple(parts), raises=False, strict=False))


def _order_key(base: Any) -> Callable[[Any], Any] | None:
    if base.kind == "enum":
        return {label: at for at, label in enumerate(base.labels)}.__getitem__
    keys: dict[str, Callable[[Any], Any]] = {
        "bpchar": casts.bpchar_to_text,
        "interval": times.interval_order,
    }
    return keys.get(base.name)


def _output(binder: Binder, tree: Tree) -> Tree:
    """What an output function prints: unlike a cast `t` and `f`, and char(n) with its padding."""
    name = name_of(tree.type)
    if tree.type.base.kind == "array":
        raise ExpressionError("arrays can't be concatenated", tree.at)
    if name == "bool":
        return folding.fold(Call(TEXT, tree.at, _letter, (tree,), raises=False))
    return folding.convert(tree, TEXT, casts.same) if name == "bpchar" else binder.text_of(tree)


def _letter(value: bool) -> str:  # noqa: FBT001  it is the value, not a switch
    return "t" if value else "f"


def _concat(binder: Binder, apply: Apply) -> Tree:
    with_separator = apply.name == "concat_ws"
    _count(apply, 1 + with_separator, 1000)
    parts = binder.bind_all(apply.arguments)
    outputs = [_output(binder, part) for part in parts[with_separator:]]
    if not with_separator:
        return folding.fold(
            Call(TEXT, apply.at, texts.concat, tuple(outputs), raises=False, strict=False)
        )
    separator = binder.coerce(parts[0], TEXT)
    if name_of(parts[0].type) not in {"text", "varchar", "bpchar", "unknown"}:
        raise ExpressionError(
            f"function concat_ws({shown(parts[0].type)}, ...) does not exist", apply.at
        )
    node = Call(
        TEXT, apply.at, texts.concat_with, (separator, *outputs), raises=False, strict=False
    )
    return folding.fold(node)


def _array_of(binder: Binder, apply: Apply, *, least: int) -> list[Tree]:
    _count(apply, least)
    array, *rest = binder.bind_all(apply.arguments)
    if array.type.base.kind != "array" or decoder(array.type) is None:
        raise ExpressionError(
            f"function {apply.name}({shown(array.type)}) does not exist", apply.at
        )
    for part in rest:
        if name_of(part.type) not in {"int2", "int4", "unknown"}:
            raise ExpressionError(f"expected an integer, not {shown(part.type)}", part.at)
    return [array, *(binder.coerce(part, INT4) for part in rest)]


def _cardinality(binder: Binder, apply: Apply) -> Tree:
    return folding.fold(
        Call(
            INT4,
            apply.at,
            documents.cardinality,
            tuple(_array_of(binder, apply, least=1)),
            raises=False,
        )
    )


def _array_length(binder: Binder, apply: Apply) -> Tree:
    parts = tuple(_array_of(binder, apply, least=2))
    return folding.fold(
        Call(INT4, apply.at, documents.array_length, parts, raises=False, nullable=True)
    )


def _subscript(binder: Binder, apply: Apply) -> Tree:
    array, index = binder.bind_all(apply.arguments)
    if name_of(array.type) == "jsonb":
        overload, parts = binder.overload("->", [array, index], apply.at)
        by_key = Overload(overload.arguments, "jsonb", documents.subscript, raises=False)
        return folding.call(by_key, parts, apply.at)
    element = array.type.base.element
    if array.type.base.kind != "array" or element is None or decoder(element) is None:
        raise ExpressionError(
            f"cannot subscript type {shown(array.type)}: it is no array", apply.at
        )
    if name_of(index.type) not in {"int2", "int4", "unknown"}:
        raise ExpressionError(
            f"array subscript must be an integer, not {shown(index.type)}", index.at
        )
    arguments = (array, binder.coerce(index, INT4))
    return folding.fold(
        Call(element, apply.at, documents.element, arguments, raises=False, nullable=True)
    )


def _array(_: Binder, apply: Apply) -> Tree:
    raise ExpressionError("ARRAY[...] is supported only after ANY or ALL", apply.at)


def _at_time_zone(binder: Binder, apply: Apply) -> Tree:
    value, zone = apply.arguments
    if isinstance(zone, CastTo) and zone.target.name == "text":
        zone = zone.operand  # as PostgreSQL shows it
    if not isinstance(zone, Literal) or zone.text.upper() not in {"UTC", "GMT", "Z"}:
        raise ExpressionError(
            "AT TIME ZONE is supported for 'UTC' only: zone rules change over time", zone.at
        )
    tree = binder.bind(value)
    target = {"timestamp": "timestamptz", "timestamptz": "timestamp", "date": "timestamp"}.get(
        name_of(tree.type)
    )
    if target is None:
        raise ExpressionError(f"{shown(tree.type)} has no time zone", apply.at)
    return binder.cast(tree, simple(target), apply.at)


def _collate(binder: Binder, apply: Apply) -> Tree:
    """To `Collations` it says something; the value stays what it is."""
    tree = binder.bind(apply.arguments[0])
    if name_of(tree.type) == "unknown":
        return binder.coerce(tree, TEXT)
    if not is_collatable(tree.type):
        raise ExpressionError(f"collations are not supported by type {shown(tree.type)}", apply.at)
    return tree


_TESTS: Final = ("null", "true", "false", "unknown")

FORMS: Final[dict[str, Callable[[Binder, Apply], Tree]]] = {
    **dict.fromkeys(("and", "or"), _logic),
    "not": _not,
    **dict.fromkeys((f"is {word}" for word in _TESTS), _test),
    **dict.fromkeys((f"is not {word}" for word in _TESTS), _test),
    **dict.fromkeys(("is distinct from", "is not distinct from"), _distinct),
    **dict.fromkeys(("between", "between symmetric"), _between),
    "in": is_in,
    **dict.fromkeys(("like", "ilike"), _like),
    **dict.fromkeys((f"{o} {q}" for o in COMPARISONS for q in ("any", "all")), quantified),
    **dict.fromkeys(("case", "case of"), _case),
    "coalesce": _coalesce,
    "nullif": _nullif,
    **dict.fromkeys(("greatest", "least"), _extreme),
    **dict.fromkeys(("concat", "concat_ws"), _concat),
    "cardinality": _cardinality,
    "array_length": _array_length,
    "subscript": _subscript,
    "array": _array,
    "at time zone": _at_time_zone,
    "collate": _collate,
}
