"""Names and types: syntax to a typed tree, by PostgreSQL's rules, against one relation."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import ColumnType
from cdc_daemon.projection.expressions import casts, folding
from cdc_daemon.projection.expressions.arithmetic import RANGES
from cdc_daemon.projection.expressions.collations import Collations
from cdc_daemon.projection.expressions.errors import ExpressionError, excluded_column
from cdc_daemon.projection.expressions.forms import FORMS
from cdc_daemon.projection.expressions.functions import (
    FUNCTIONS,
    OPERATORS,
    PREFIX,
    SPECIAL_FUNCTIONS,
)
from cdc_daemon.projection.expressions.parser import parse
from cdc_daemon.projection.expressions.refused import REFUSED
from cdc_daemon.projection.expressions.syntax import Apply, CastTo, Literal, Name, Syntax, TypeName
from cdc_daemon.projection.expressions.tree import Call, ColumnValue, Constant, Tree
from cdc_daemon.projection.expressions.types import (
    ALIASES,
    BOOL,
    DECLARED,
    STRINGS,
    TEXT,
    UNKNOWN,
    Overload,
    choose,
    common_type,
    name_of,
    shown,
    simple,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Column, Relation

_LONGEST_STRING = 10_485_760
_MOST_PRECISION = 1000


class Binder:
    """Binds the syntax of one expression to the columns of one relation."""

    def __init__(self, relation: Relation) -> None:
        self.relation = relation
        self._places = {column.name: at for at, column in enumerate(relation.columns)}
        self._computed = {column.name: column for column in relation.computed}
        self.computed: dict[str, None] = {}
        """The generated columns that were met so far, and are in no row."""
        self._collations = Collations()

    def bind(self, syntax: Syntax) -> Tree:
        """The typed tree. Raises ExpressionError."""
        tree = self._bind(syntax)
        self._collations.bound(syntax, tree.type)
        return tree

    def _bind(self, syntax: Syntax) -> Tree:
        if isinstance(syntax, Literal):
            return self._literal(syntax)
        if isinstance(syntax, Name):
            return self._column(syntax)
        if isinstance(syntax, CastTo):
            return self._cast(syntax)
        if syntax.form == "function":
            return self._function(syntax)
        if syntax.form == "operator":
            return self.operator(
                syntax.name, [self.bind(part) for part in syntax.arguments], syntax.at
            )
        if syntax.name not in FORMS:
            raise ExpressionError(
                f"{syntax.name.upper()} is not supported with this operator", syntax.at
            )
        return FORMS[syntax.name](self, syntax)

    def bind_all(self, parts: Sequence[Syntax]) -> list[Tree]:
        """Each of them."""
        return [self.bind(part) for part in parts]

    # --- literals and columns

    @staticmethod
    def _literal(literal: Literal) -> Tree:
        if literal.kind == "string":
            return Constant(UNKNOWN, literal.at, literal.text)
        if literal.kind == "null":
            return Constant(UNKNOWN, literal.at, None)
        if literal.kind == "boolean":
            return Constant(BOOL, literal.at, literal.text == "true")
        if literal.text.isdigit() and int(literal.text) < RANGES["int8"]:
            value = int(literal.text)
            return Constant(simple("int4" if value < RANGES["int4"] else "int8"), literal.at, value)
        number = casts.text_to_numeric(literal.text)
        return Constant(simple("numeric"), literal.at, number)

    def _column(self, name: Name) -> Tree:
        *qualifier, column = name.parts
        owners: tuple[list[str], ...] = (
            [],
            [self.relation.name],
            [self.relation.schema, self.relation.name],
        )
        dotted = ".".join(name.parts)
        place = self._places.get(dotted)  # a column of a `one` embed is listed under its full name
        if place is None and qualifier in owners:
            place = self._places.get(column)
        if place is None and qualifier in owners and column in self.relation.excluded:
            raise ExpressionError(excluded_column(self.relation, column), name.at)
        if place is None and qualifier in owners and column in self._computed:
            self.computed[column] = None
            self._collations.of_column(name, self._computed[column])
            return self._compute(self._computed[column], name.at)
        if place is None:
            raise ExpressionError(self._no_column(dotted), name.at)
        found = self.relation.columns[place]
        self._collations.of_column(name, found)
        return ColumnValue(found.type, name.at, place, found.type)

    def _compute(self, column: Column, at: int) -> Tree:
        """What a generated column is made of."""
        expression = column.generated.expression if column.generated else ""
        try:
            return self._generated(expression, column.type, at)
        except (ExpressionError, RejectedError) as error:
            one_line = " ".join(expression.split())
            raise ExpressionError(
                f"column {column.name} of table {self.relation.qualified_name} is generated, and "
                f"not streamed: it has to be computed here ({one_line}), but {error}. Map an "
                "expression of your own, or leave the column out, of all columns by "
                "`exclude: true` in source.columns (PostgreSQL 18 streams those that are stored)",
                at,
            ) from error

    def _generated(self, expression: str, target: ColumnType, at: int) -> Tree:
        """The expression as the catalog has it: without the cast to the column's type."""
        if not expression:
            raise ExpressionError("partitions of the table generate it in other ways", at)
        return self.cast(self.bind(parse(expression)), target, at)

    def _no_column(self, name: str) -> str:
        near = difflib.get_close_matches(name.rpartition(".")[2], self._places, n=1)
        shown_name = near[0] if near and near[0].islower() else f'"{near[0]}"' if near else ""
        hint = (
            f"; did you mean {shown_name}?" if near else f"; there are: {', '.join(self._places)}"
        )
        return f"{self.relation.qualified_name} has no column {name}{hint}"

    # --- types

    def resolve_type(self, written: TypeName) -> ColumnType:
        """The type of a cast. Raises ExpressionError for those we don't know."""
        name = ALIASES.get(written.name, written.name)
        if name == "float8" and written.modifiers:
            name = "float4" if written.modifiers[0] <= 24 else "float8"  # noqa: PLR2004  binary digits
        if name not in DECLARED or name == "unknown":
            near = difflib.get_close_matches(name, [*DECLARED, *ALIASES], n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; supported: {', '.join(DECLARED)}"
            raise ExpressionError(f"casts to {written.name} are not supported{hint}", written.at)
        if written.array:
            raise ExpressionError(f"casts to {written.name}[] are not supported", written.at)
        modifier = self._modifier(name, written)
        declared = DECLARED[name] + (
            f"({','.join(map(str, written.modifiers))})" if written.modifiers else ""
        )
        return ColumnType(name, modifier=modifier, declared=declared)

    @staticmethod
    def _modifier(name: str, written: TypeName) -> int:
        values = written.modifiers
        if not values:
            return 5 if written.name in {"char", "character"} else -1  # char is char(1)
        if name in {"varchar", "bpchar"} and len(values) == 1 and 1 <= values[0] <= _LONGEST_STRING:
            return values[0] + 4
        if name == "numeric" and len(values) in (1, 2) and 1 <= values[0] <= _MOST_PRECISION:
            scale = values[1] if len(values) > 1 else 0
            if -_MOST_PRECISION <= scale <= _MOST_PRECISION:
                return ((values[0] << 16) | (scale & 0x7FF)) + 4
        if written.name == "float":
            return -1
        raise ExpressionError(f"{written.name} can't have the modifier {values} here", written.at)

    # --- casts

    def _cast(self, cast: CastTo) -> Tree:
        target = self.resolve_type(cast.target)
        return self.cast(self.bind(cast.operand), target, cast.at)

    def cast(self, tree: Tree, target: ColumnType, at: int) -> Tree:
        """An explicit cast, with the modifier of its target."""
        if name_of(tree.type) == "unknown":
            found = self.coerce(tree, target)
        else:
            run = casts.cast_function(tree.type, target)
            if run is None:
                raise ExpressionError(f"cannot cast {shown(tree.type)} to {shown(target)}", at)
            found = folding.convert(tree, target, run)
        modify = casts.modifier_function(target)
        if modify is None or tree.type.base == target:
            return found
        raises = name_of(target) == "numeric"
        return folding.fold(Call(target, at, modify, (found,), raises))

    def coerce(self, tree: Tree, target: ColumnType) -> Tree:
        """What PostgreSQL does without being asked: literals take the type, numbers widen."""
        source, wanted = name_of(tree.type), name_of(target)
        if source == "unknown" and isinstance(tree, Constant):
            return self._type_literal(tree, target)
        if source == wanted:
            return tree
        run = casts.cast_function(tree.type, target)
        if run is None:
            raise ExpressionError(f"cannot convert {shown(tree.type)} to {shown(target)}", tree.at)
        return folding.convert(tree, target, run)

    @staticmethod
    def _type_literal(tree: Constant, target: ColumnType) -> Tree:
        if tree.value is None:
            return Constant(target, tree.at, None)
        parse = casts.literal_function(target)
        if parse is None:
            message = f"a literal can't be {shown(target)} here: {tree.value!r}"
            raise ExpressionError(f"{message}; write it differently or compare as text", tree.at)
        try:
            return Constant(target, tree.at, parse(tree.value))
        except RejectedError as error:
            raise ExpressionError(error.explanation, tree.at) from error

    def unify(self, trees: Sequence[Tree], what: str, at: int) -> tuple[list[Tree], ColumnType]:
        """All of one type, as CASE, COALESCE and the like need it."""
        result = common_type([tree.type for tree in trees])
        if result is None:
            kinds = " and ".join(dict.fromkeys(shown(t.type) for t in trees if t.type != UNKNOWN))
            raise ExpressionError(f"{what} types {kinds} cannot be matched", at)
        return [self.coerce(tree, result) for tree in trees], result

    def condition(self, tree: Tree, what: str) -> Tree:
        """A boolean. Raises ExpressionError for anything else."""
        if name_of(tree.type) in {"unknown", "bool"}:
            return self.coerce(tree, BOOL)
        raise ExpressionError(
            f"argument of {what} must be type boolean, not type {shown(tree.type)}", tree.at
        )

    # --- operators

    def operator(self, name: str, parts: list[Tree], at: int) -> Tree:
        """An operator by its overloads."""
        if name == "||":
            return self._concatenate(parts, at)
        overload, parts = self.overload(name, parts, at)
        return folding.call(overload, parts, at)

    def overload(self, name: str, parts: list[Tree], at: int) -> tuple[Overload, list[Tree]]:
        """The overload of an operator for these operands, and the operands converted to it."""
        table = PREFIX if len(parts) == 1 else OPERATORS
        if name not in table:
            raise ExpressionError(self._no_operator(name), at)
        if len(parts) > 1 and (same := self._one_kind(name, parts)):
            return same
        if name in {"#>", "#>>"}:
            parts = [parts[0], self._path(parts[1])]
        found = choose(table[name], [name_of(part.type) for part in parts])
        if len(found) != 1:
            raise ExpressionError(self._no_overload(name, parts, ambiguous=bool(found)), at)
        if found[0].run == "refused":
            raise ExpressionError(
                f"{name} of numeric is not supported: cast to double precision", at
            )
        return found[0], self._coerced(parts, found[0])

    def _coerced(self, parts: Sequence[Tree], overload: Overload) -> list[Tree]:
        pairs = zip(parts, overload.arguments, strict=True)
        return [
            part if name_of(part.type) == t else self.coerce(part, simple(t)) for part, t in pairs
        ]

    def _one_kind(self, name: str, parts: list[Tree]) -> tuple[Overload, list[Tree]] | None:
        """Enums are compared with each other and with literals only."""
        enum = next((part.type.base for part in parts if part.type.base.kind == "enum"), None)
        if enum is None or name not in {"=", "<>", "<", "<=", ">", ">="}:
            return None
        if any(part.type.base != enum and name_of(part.type) != "unknown" for part in parts):
            raise ExpressionError(self._no_overload(name, parts, ambiguous=False), parts[0].at)
        found = OPERATORS[name][NUMERIC_FIRST]
        parts = [self.coerce(part, enum) for part in parts]
        if name in {"=", "<>"}:
            return Overload((enum.name,) * 2, "bool", found.run, raises=False), parts
        order = {label: at for at, label in enumerate(enum.labels)}.__getitem__
        compare = folding.function_of(found.run, 2)
        return Overload(
            (enum.name,) * 2, "bool", lambda x, y: compare(order(x), order(y)), raises=False
        ), parts

    @staticmethod
    def _path(tree: Tree) -> Tree:
        """The text array after #>: only written out, as '{a,b}'."""
        text = tree.value if isinstance(tree, Constant) and isinstance(tree.value, str) else ""
        if text[:1] != "{" or text[-1:] != "}" or any(c in text for c in '"\\'):
            raise ExpressionError(
                "after #> and #>> comes a plain path such as '{address,city}'", tree.at
            )
        keys = [key.strip() for key in text[1:-1].split(",")] if text != "{}" else []
        if any(not key or key.lower() == "null" or key[0] in "{}" for key in keys):
            raise ExpressionError(
                "after #> and #>> comes a plain path such as '{address,city}'", tree.at
            )
        return Constant(simple("_text"), tree.at, keys)

    @staticmethod
    def _no_operator(name: str) -> str:
        if name in {"~", "~*", "!~", "!~*", "!"}:
            return (
                "regular expressions are not supported (PostgreSQL's are not Python's):"
                " use LIKE or ILIKE"
            )
        return f"the operator {name} is not supported; supported: {' '.join(_SYMBOLS)}"

    @staticmethod
    def _no_overload(name: str, parts: Sequence[Tree], *, ambiguous: bool) -> str:
        kinds = [shown(part.type) for part in parts]
        written = f" {name} ".join(kinds) if len(kinds) > 1 else f"{name} {kinds[0]}"
        if ambiguous:
            return f"operator is not unique: {written}; add a cast"
        if any(kind in {"json", "jsonb"} for kind in kinds):
            return f"operator {written} is not supported; use ->> and compare text"
        return f"operator does not exist: {written}"

    def _concatenate(self, parts: list[Tree], at: int) -> Tree:
        kinds = [name_of(part.type) for part in parts]
        textual = [kind in STRINGS or kind == "unknown" for kind in kinds]
        if not any(textual) or "jsonb" in kinds or any(p.type.base.kind == "array" for p in parts):
            raise ExpressionError(
                self._no_overload("||", parts, ambiguous=False).replace(
                    "->> and compare text", "->>"
                ),
                at,
            )
        texts = [self.text_of(part) for part in parts]
        return folding.call(
            Overload(("text", "text"), "text", "({0} + {1})", raises=False), texts, at
        )

    def text_of(self, tree: Tree) -> Tree:
        """Cast to text."""
        return self.cast(tree, TEXT, tree.at)

    # --- functions

    def _function(self, apply: Apply) -> Tree:
        if apply.name in SPECIAL_FUNCTIONS:
            return FORMS[apply.name](self, apply)
        if apply.name not in FUNCTIONS:
            raise ExpressionError(self._no_function(apply.name), apply.at)
        parts = self.bind_all(apply.arguments)
        found = choose(FUNCTIONS[apply.name], [name_of(part.type) for part in parts])
        if len(found) != 1:
            signature = f"{apply.name}({', '.join(shown(part.type) for part in parts)})"
            problem = "is not unique; add a cast" if found else "does not exist"
            raise ExpressionError(f"function {signature} {problem}", apply.at)
        if found[0].run == "refused":
            raise ExpressionError(
                f"{apply.name} of {shown(parts[-1].type)} is not supported"
                f"{': cast to double precision' if found[0].result == 'numeric' else ''}",
                apply.at,
            )
        return folding.call(found[0], self._coerced(parts, found[0]), apply.at)

    @staticmethod
    def _no_function(name: str) -> str:
        if name in REFUSED:
            return f"{name} is not supported: {REFUSED[name]}"
        near = difflib.get_close_matches(name, [*FUNCTIONS, *SPECIAL_FUNCTIONS], n=1)
        hint = f"; did you mean {near[0]}?" if near else "; see docs/reference/expressions.md"
        return f"the function {name} is not supported{hint}"


_SYMBOLS = [*(name for name in OPERATORS if not name.isalpha()), "||"]

NUMERIC_FIRST = 0
"""The first overload of a comparison: plain Python comparison of both values."""
