"""The SQL of an expression with other names for its columns: for a query of several tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.parser import parse
from cdc_daemon.projection.expressions.syntax import Apply, CastTo, Name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.events import Relation
    from cdc_daemon.projection.expressions.syntax import Syntax

_PART: Final = r'(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)'


def with_columns(sql: str, relation: Relation, shown: Callable[[str], str]) -> str:
    """`sql`, which compiles over `relation`, with `shown` of each column's name in its place.

    Raises ExpressionError for a name that is interrupted by a comment.
    """
    columns = {column.name for column in relation.columns}
    result = sql
    for name in sorted(_names(parse(sql)), key=lambda each: each.at, reverse=True):
        written = re.compile(_PART + rf"(?:\s*\.\s*{_PART})" * (len(name.parts) - 1))
        found = written.match(sql, name.at)
        if found is None:
            raise ExpressionError("write a column's name without comments in it", name.at)
        whole = ".".join(name.parts)
        column = shown(whole if whole in columns else name.parts[-1])
        result = result[: name.at] + column + result[found.end() :]
    return result


def _names(syntax: Syntax) -> Iterator[Name]:
    if isinstance(syntax, Name):
        yield syntax
    elif isinstance(syntax, CastTo):
        yield from _names(syntax.operand)
    elif isinstance(syntax, Apply):
        for argument in syntax.arguments:
            yield from _names(argument)
