"""`order_by`: columns with direction and place of nulls, as SQL writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.projection.expressions import ExpressionError
from cdc_daemon.projection.expressions.stream import TokenStream
from cdc_daemon.projection.expressions.tokens import tokenize
from cdc_daemon.projection.joined.keys import is_ordered
from cdc_daemon.projection.joined.plan import OrderKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdc_daemon.config.mistakes import Path
    from cdc_daemon.events import Column
    from cdc_daemon.projection.drafting import Scope


def order_keys(path: Path, sql: str | None, key: Iterable[str], scope: Scope) -> list[OrderKey]:
    """The order that `sql` asks for, and the key after it; mistakes are noted."""
    asked = _parsed(path, sql, scope) if sql is not None else []
    named = {name for name, _, _ in asked}
    whole = [*asked, *((name, False, False) for name in key if name not in named)]
    return [
        OrderKey(name, column.type, descending, nulls_first)
        for name, descending, nulls_first in whole
        if (column := scope.row_column(path, name)) is not None
        and _is_orderable(path, column, scope)
    ]


def reversed_order(order: Iterable[OrderKey]) -> list[OrderKey]:
    """From the last to the first."""
    return [
        OrderKey(one.column, one.type, not one.descending, not one.nulls_first) for one in order
    ]


def _parsed(path: Path, sql: str, scope: Scope) -> list[tuple[str, bool, bool]]:
    try:
        return _OrderParser(sql).keys()
    except ExpressionError as error:
        scope.mistakes.add(path, f"{error} (in: {sql})")
        return []


def _is_orderable(path: Path, column: Column, scope: Scope) -> bool:
    why = None
    if column.protection is not None:
        why = f"it is {column.protection.kind} by the `source` section"
    elif not is_ordered(column.type):
        why = f"the order of type {column.type.declared or column.type.name} is not known here"
    if why is not None:
        name = f"{scope.table.qualified_name}.{column.name}"
        scope.mistakes.add(path, f"rows can't be put in order by {name}: {why}")
    return why is None


class _OrderParser(TokenStream):
    """`price desc nulls last, "Größe"`."""

    def __init__(self, sql: str) -> None:
        super().__init__(tokenize(sql))

    def keys(self) -> list[tuple[str, bool, bool]]:
        """Column, whether descending, whether nulls come first. Raises ExpressionError."""
        found = [self._key()]
        while self._accept(","):
            found.append(self._key())
        if self._token.kind != "end":
            raise self._unexpected("expected asc, desc, nulls first, nulls last or a comma")
        return found

    def _key(self) -> tuple[str, bool, bool]:
        if self._token.kind not in {"word", "name"}:
            raise self._unexpected("expected a column")
        name = self._take().text
        if self._is(".") or self._is("("):
            raise self._unexpected("rows are put in order by columns of their own table")
        descending = self._accept("desc")
        if not descending:
            self._accept("asc")
        if self._accept("nulls", "first"):
            return name, descending, True
        if self._accept("nulls", "last"):
            return name, descending, False
        return name, descending, descending
