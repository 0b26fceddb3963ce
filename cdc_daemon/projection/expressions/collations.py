"""Under which collation the text in an expression is compared, as far as it matters here. Pure.

Text is compared by its bytes. Where the source takes different texts for equal, under a collation
that is nondeterministic, an expression would come to another value there: that is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from cdc_daemon.events import Column
from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.functions import COMPARISONS
from cdc_daemon.projection.expressions.syntax import Apply, CastTo, Name, Syntax
from cdc_daemon.projection.expressions.types import STRINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import ColumnType

BYTES: Final = "C"
"""It was asked for by COLLATE, and so counts more than that of a column."""

Collation: TypeAlias = Column | str | None
"""A column's that is nondeterministic, or `BYTES`; None: one that is equal by bytes."""

_PAIRWISE: Final = frozenset(
    {
        *("in", "between", "between symmetric", "case of"),
        *(f"{operator} {word}" for operator in COMPARISONS for word in ("any", "all")),
    }
)
"""The first argument is compared with each of the others."""

_AT_ONCE: Final = frozenset(
    {
        *COMPARISONS,
        *("is distinct from", "is not distinct from", "nullif", "greatest", "least"),
        *("like", "ilike", "starts_with", "position", "strpos", "replace", "split_part"),
    }
)
"""All arguments are compared with each other."""

_MAPS_CASE: Final = frozenset({"lower", "upper", "ilike"})


def is_collatable(type: ColumnType) -> bool:  # noqa: A002 - what it is
    """Whether its values are texts, or arrays of them."""
    base = type.base
    if base.kind == "array" and base.element is not None:
        return is_collatable(base.element)
    return base.name in STRINGS


class Collations:
    """Those of the parts of one expression, which are told as they are bound."""

    def __init__(self) -> None:
        self._found: dict[Syntax, Collation] = {}

    def of_column(self, name: Name, column: Column) -> None:
        """A name in the expression means this column."""
        self._found[name] = None if column.equal_by_text else column

    def bound(self, syntax: Syntax, type: ColumnType) -> None:  # noqa: A002 - what it is
        """A part is bound, and what it consists of was before. Raises ExpressionError."""
        if isinstance(syntax, Apply):
            self._require_equal_by_bytes(syntax)
        if not isinstance(syntax, Name):
            self._found[syntax] = self._of_parts(syntax) if is_collatable(type) else None

    def _require_equal_by_bytes(self, apply: Apply) -> None:
        arguments = apply.arguments
        compared: list[Sequence[Syntax]] = []
        if apply.name in _PAIRWISE:
            others = arguments[1:-1:2] if apply.name == "case of" else arguments[1:]
            compared += [(arguments[0], other) for other in others]
        elif apply.name in _AT_ONCE:
            compared.append(arguments)
        for some in compared:
            found = self._together(some)
            if isinstance(found, Column):
                raise ExpressionError(_why(found), apply.at)
        if apply.name in _MAPS_CASE and self._together(arguments) == BYTES:
            raise ExpressionError(
                f'{apply.name} under COLLATE "C" maps letters of ASCII only, and that isn\'t '
                "supported: put COLLATE behind it",
                apply.at,
            )

    def _of_parts(self, syntax: Syntax) -> Collation:
        if isinstance(syntax, CastTo):
            return self._of(syntax.operand)
        if not isinstance(syntax, Apply):
            return None
        return BYTES if syntax.name == "collate" else self._together(syntax.arguments)

    def _together(self, parts: Sequence[Syntax]) -> Collation:
        found = [each for part in parts if (each := self._of(part)) is not None]
        return BYTES if BYTES in found else next(iter(found), None)

    def _of(self, syntax: Syntax) -> Collation:
        """A list behind ANY isn't bound itself, only what is in it."""
        return self._found[syntax] if syntax in self._found else self._of_parts(syntax)


def _why(column: Column) -> str:
    return (
        f"column {column.name} has a nondeterministic collation, so which of its values are equal "
        f'is not known here. To compare its bytes, in the source too, write {column.name} COLLATE "'
        'C"; or map a column that has another collation'
    )
