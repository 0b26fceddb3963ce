"""The result of an expression as JSON text, and the finished functions.

What passes through unchanged, or is only strung together, stays JSON text all the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.projection.expressions.emit import Emitter
from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.tree import (
    Call,
    ColumnValue,
    Constant,
    Form,
    Tree,
    may_be_null,
    may_raise,
)
from cdc_daemon.projection.expressions.types import INTEGERS, name_of, shown
from cdc_daemon.values.python import encode_text, encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Row

_CONCATENATION: Final = "({0} + {1})"


def compile_json(tree: Tree) -> Callable[[Row], bytes]:
    """A function from a row to the JSON text of the value."""
    emitter = _JsonEmitter()
    return emitter.function(emitter.json(tree))


def compile_test(tree: Tree) -> Callable[[Row], bool]:
    """A function from a row to whether a condition is TRUE."""
    emitter = _JsonEmitter()
    return emitter.function(emitter.test(tree))


class _JsonEmitter(Emitter):
    """JSON text, `b"null"` for NULL."""

    def json(self, tree: Tree) -> str:
        """Python source of the JSON text of the value."""
        if isinstance(tree, Constant):
            return repr(b"null" if tree.value is None else self._encoder(tree)(tree.value))
        if isinstance(tree, ColumnValue):
            return self._raw(tree)
        if isinstance(tree, Call) and tree.run == _CONCATENATION:
            return self._short(self._json_concatenation(tree))
        if isinstance(tree, Form) and tree.name == "case":
            return self._short(self._json_case(tree))
        if isinstance(tree, Form) and tree.name == "coalesce" and not _holds_null(tree):
            return self._short(self._json_coalesce(tree))
        return self._json_value(tree)

    def _json_value(self, tree: Tree) -> str:
        code, name = self._operand(tree)
        run = f"{self._name(self._encoder(tree))}({name})"
        if not may_be_null(tree):
            return f"{self._name(self._encoder(tree))}({code})"
        return f'(b"null" if {code} is None else {run})'

    @staticmethod
    def _encoder(tree: Tree) -> Callable[[Any], bytes]:
        encode = encoder(tree.type)
        if encode is None:
            raise ExpressionError(
                f"values of type {shown(tree.type)} can't be the result of an expression", tree.at
            )
        return encode

    def _json_case(self, tree: Form) -> str:
        *parts, default = tree.operands
        branches = zip(parts[::2], parts[1::2], strict=True)
        code = "".join(
            f"{self.json(value)} if {self.test(condition)} else " for condition, value in branches
        )
        return f"({code}{self.json(default)})"

    def _json_coalesce(self, tree: Form) -> str:
        steps = []
        for part in tree.operands[:-1]:
            code = self.json(part)
            name = code if code.isidentifier() else self._fresh("v")
            code = code if name == code else f"({name} := {code})"
            steps.append(f'{name} if {code} != b"null" else ')
        return f"({''.join(steps)}{self.json(tree.operands[-1])})"

    def _json_concatenation(self, tree: Call) -> str:
        """The contents of JSON strings strung together are the content of the longer string."""
        checks, pieces, parts = [], ["b'\"'"], _concatenated(tree)
        eager = any(map(may_raise, parts[1:])) and any(map(may_be_null, parts))
        for part in parts:
            check, piece = self._json_piece(part, checked=eager and may_raise(part))
            checks += [check] if check else []
            pieces.append(piece)
        nulls = " | ".join(f"({check})" for check in checks) if eager else " or ".join(checks)
        code = " + ".join([*pieces, "b'\"'"])
        return f'(b"null" if {nulls} else {code})' if nulls else f"({code})"

    def _json_piece(self, part: Tree, *, checked: bool) -> tuple[str, str]:
        """A test for NULL, and the content of the JSON string that the text is.

        `checked` asks for a test even of what is never NULL, so that it runs with the other tests.
        """
        if isinstance(part, Constant):
            return "", repr(encode_text(part.value)[1:-1])
        if column := _written_alike(part):
            raw = self._raw(column)
            return f'{raw} == b"null"', raw if name_of(
                column.stored
            ) in INTEGERS else f"{raw}[1:-1]"
        code, name = self._operand(part)
        encoded = f"{self._name(encode_text)}({name})[1:-1]"
        if may_be_null(part) or checked:
            return f"{code} is None", encoded
        return "", f"{self._name(encode_text)}({code})[1:-1]"


def _holds_null(tree: Form) -> bool:
    """Whether a part can be JSON's null, which is not SQL's."""
    first = tree.operands[:-1]
    return name_of(tree.type) in {"json", "jsonb"} and not all(
        isinstance(p, ColumnValue) for p in first
    )


def _concatenated(tree: Tree) -> list[Tree]:
    """`a || b || c` as one list."""
    parts: list[Tree] = []
    waiting: list[Tree] = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Call) and part.run == _CONCATENATION:
            waiting += reversed(part.arguments)
        else:
            parts.append(part)
    return parts


def _written_alike(tree: Tree) -> ColumnValue | None:
    """The column whose JSON text already has what its cast to text gives."""
    if isinstance(tree, Call) and tree.run is str and name_of(tree.arguments[0].type) in INTEGERS:
        tree = tree.arguments[0]
        return tree if isinstance(tree, ColumnValue) else None
    if isinstance(tree, ColumnValue) and (
        name_of(tree.stored) in {"text", "varchar", "uuid"} or tree.stored.base.kind == "enum"
    ):
        return tree
    return None
