"""A typed tree to Python source: each node is one Python expression.

`value` is a Python value, None for NULL; `test` is true only for TRUE. Columns that are only
compared with literals stay JSON text: nothing is parsed for them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.projection.expressions.source import Source
from cdc_daemon.projection.expressions.tree import (
    Call,
    ColumnValue,
    Constant,
    Form,
    Tree,
    may_be_null,
    may_raise,
)
from cdc_daemon.projection.expressions.types import INTEGERS, name_of
from cdc_daemon.values.python import encode_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*", re.ASCII)
"""Text that JSON writes in one way only: printable ASCII but for the quote and the backslash."""
_COMPARED_AS_TEXT: Final = frozenset({"text", "varchar", "uuid", *INTEGERS})


class Emitter(Source):
    """Values and conditions."""

    # --- values

    def value(self, tree: Tree) -> str:
        """Python source of the value; None is NULL."""
        if isinstance(tree, Constant):
            simple = tree.value is None or isinstance(tree.value, bool | int | str)
            return repr(tree.value) if simple else self._name(tree.value)
        if isinstance(tree, ColumnValue):
            self._decoder(tree)
            return "c" + self._raw(tree)[1:]
        if isinstance(tree, Call):
            return self._short(self._call(tree))
        return self._short(getattr(self, "_" + tree.name.replace(" ", "_"))(tree))

    def _applied(self, run: Callable[..., Any] | str, arguments: Sequence[str]) -> str:
        if isinstance(run, str):
            return run.format(*arguments)
        return f"{self._name(run)}({', '.join(arguments)})"

    def _call(self, tree: Call) -> str:
        if not tree.strict:
            return self._applied(tree.run, [self.value(part) for part in tree.arguments])
        nulls, names = self._bound(tree.arguments)
        run = self._applied(tree.run, names)
        return f"(None if {nulls} else {run})" if nulls else run

    def _bound(self, parts: Sequence[Tree]) -> tuple[str, list[str]]:
        """A test whether any part is NULL (empty if none can be), and the name of each after it.

        What could fail runs also where another part is NULL; where a later part could, all run
        before any is looked at: so does PostgreSQL.
        """
        checks, names = [], []
        has_nulls = any(map(may_be_null, parts))
        eager = has_nulls and any(map(may_raise, parts[1:]))
        for part in parts:
            code = self.value(part)
            if not may_be_null(part) and not (has_nulls and may_raise(part)):
                names.append(code)
            elif code.isidentifier():
                checks.append(f"{code} is None")
                names.append(code)
            else:
                names.append(self._fresh("v"))
                checks.append(f"({names[-1]} := {code}) is None")
        joined = " | ".join(f"({check})" for check in checks) if eager else " or ".join(checks)
        return joined, names

    def _operand(self, tree: Tree) -> tuple[str, str]:
        """Code that works a value out, and the name it has from then on."""
        code = self.value(tree)
        if code.isidentifier():
            return code, code
        name = self._fresh("v")
        return f"({name} := {code})", name

    # --- forms

    def _and(self, tree: Form) -> str:
        return self._logic(tree, "False", "True")

    def _or(self, tree: Form) -> str:
        return self._logic(tree, "True", "False")

    def _logic(self, tree: Form, decides: str, otherwise: str) -> str:
        steps, unknown = [], []
        for part in tree.operands:
            code, name = self._operand(part)
            steps.append(f"{decides} if {code} is {decides} else ")
            if may_be_null(part):
                unknown.append(f"{name} is None")
        end = f"None if {' or '.join(unknown)} else {otherwise}" if unknown else otherwise
        return f"({''.join(steps)}{end})"

    def _not(self, tree: Form) -> str:
        code, name = self._operand(tree.operands[0])
        if not may_be_null(tree.operands[0]):
            return f"(not {code})"
        return f"(None if {code} is None else not {name})"

    def _is_null(self, tree: Form) -> str:
        operand = tree.operands[0]
        if isinstance(operand, ColumnValue):
            return f'({self._raw(operand)} == b"null")'
        return f"({self.value(operand)} is None)"

    def _is_true(self, tree: Form) -> str:
        return f"({self.value(tree.operands[0])} is True)"

    def _is_false(self, tree: Form) -> str:
        return f"({self.value(tree.operands[0])} is False)"

    def _case(self, tree: Form) -> str:
        *parts, default = tree.operands
        branches = zip(parts[::2], parts[1::2], strict=True)
        code = "".join(
            f"{self.value(value)} if {self.test(condition)} else " for condition, value in branches
        )
        return f"({code}{self.value(default)})"

    def _coalesce(self, tree: Form) -> str:
        steps = []
        for part in tree.operands[:-1]:
            code, name = self._operand(part)
            steps.append(f"{name} if {code} is not None else ")
        return f"({''.join(steps)}{self.value(tree.operands[-1])})"

    def _both(self, tree: Form) -> tuple[str, str, str, str]:
        """A test whether one is NULL, both names, and the comparison."""
        (left, left_name), (right, right_name) = map(self._operand, tree.operands)
        same = self._applied(tree.compare, [left_name, right_name])
        return f"({left} is None) | ({right} is None)", left_name, right_name, same

    def _distinct(self, tree: Form) -> str:
        nulls, left, right, same = self._both(tree)
        return f"((({left} is None) != ({right} is None)) if {nulls} else not {same})"

    def _nullif(self, tree: Form) -> str:
        nulls, left, _, same = self._both(tree)
        return f"({left} if {nulls} else None if {same} else {left})"

    def _in(self, tree: Form) -> str:
        """Items are constants: NULL among them turns what isn't found into NULL."""
        first, *items = tree.operands
        if raw := self._raw_in(first, items):
            return f'(None if {self._raw(raw[0])} == b"null" else {self._raw(raw[0])} in {raw[1]})'
        values = [item.value for item in items if isinstance(item, Constant)]
        found = self._name(frozenset(value for value in values if value is not None))
        code, name = self._operand(first)
        return (
            f"(None if {code} is None else {name} in {found}{' or None' if None in values else ''})"
        )

    def _raw_in(self, first: Tree, items: Sequence[Tree]) -> tuple[ColumnValue, str] | None:
        texts = [_raw_constant(item) for item in items]
        if isinstance(first, ColumnValue) and _compared_as_text(first) and None not in texts:
            return first, self._name(frozenset(texts))
        return None

    # --- conditions

    def test(self, tree: Tree) -> str:
        """Python source that is true if the condition is TRUE, and false for FALSE and NULL."""
        if isinstance(tree, ColumnValue):
            return f'({self._raw(tree)} == b"true")'
        if isinstance(tree, Call):
            return self._short(self._test_call(tree))
        if isinstance(tree, Form) and (found := self._test_form(tree)):
            return self._short(found)
        return f"({self.value(tree)} is True)"

    def _test_call(self, tree: Call) -> str:
        if raw := self._raw_comparison(tree):
            return raw
        if not tree.strict or tree.nullable:
            return f"({self.value(tree)} is True)"
        nulls, names = self._bound(tree.arguments)
        run = self._applied(tree.run, names)
        return f"(False if {nulls} else {run})" if nulls else run

    def _raw_comparison(self, tree: Call) -> str:
        """A column against a literal, both as JSON text."""
        if tree.run not in {"({0} == {1})", "({0} != {1})"}:
            return ""
        column, constant = tree.arguments
        if isinstance(column, Constant):
            column, constant = constant, column
        text = _raw_constant(constant)
        if text is None or not isinstance(column, ColumnValue) or not _compared_as_text(column):
            return ""
        raw = self._raw(column)
        if tree.run == "({0} == {1})":
            return f"({raw} == {text!r})"
        return f'({raw} != {text!r} and {raw} != b"null")'

    def _test_form(self, tree: Form) -> str:
        parts = tree.operands
        if tree.name == "or":
            return f"({' or '.join(map(self.test, parts))})"
        if tree.name == "and" and not any(map(may_raise, parts[1:])):
            return f"({' and '.join(map(self.test, parts))})"
        if tree.name == "not":
            return self._test_not(parts[0])
        if tree.name == "is true":
            return self.test(parts[0])
        if tree.name == "in" and (raw := self._raw_in(parts[0], parts[1:])):
            return f"({self._raw(raw[0])} in {raw[1]})"
        return self.value(tree) if tree.name in {"is null", "is false", "distinct"} else ""

    def _test_not(self, operand: Tree) -> str:
        if not may_be_null(operand):
            return f"(not {self.test(operand)})"
        if (
            isinstance(operand, Form)
            and operand.name == "in"
            and (raw := self._raw_in(operand.operands[0], operand.operands[1:]))
        ):
            return f'({self._raw(raw[0])} not in {raw[1]} and {self._raw(raw[0])} != b"null")'
        if isinstance(operand, ColumnValue):
            return f'({self._raw(operand)} == b"false")'
        return f"({self.value(operand)} is False)"


def _compared_as_text(column: ColumnValue) -> bool:
    return name_of(column.stored) in _COMPARED_AS_TEXT or column.stored.base.kind == "enum"


def _raw_constant(tree: Tree) -> bytes | None:
    """The only JSON text that a column equal to this constant can have."""
    if not isinstance(tree, Constant) or isinstance(tree.value, bool):
        return None
    if isinstance(tree.value, int) and name_of(tree.type) in INTEGERS:
        return b"%d" % tree.value
    if (
        isinstance(tree.value, str)
        and name_of(tree.type) != "bpchar"
        and _PLAIN.fullmatch(tree.value)
    ):
        return encode_text(tree.value)
    return None
