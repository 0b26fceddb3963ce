"""The frame of a generated Python function: its names, the columns it decodes, its errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.errors import RejectedError
from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.functions import NAMESPACE
from cdc_daemon.projection.expressions.types import shown
from cdc_daemon.values.python import decoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Row
    from cdc_daemon.projection.expressions.tree import ColumnValue

_MOST_PARENTHESES: Final = 60
"""Python stops at 200 nested ones: beyond this a part becomes a function of its own."""


def _failed(error: Exception) -> RejectedError:
    return RejectedError("expression_failed", f"{type(error).__name__}: {error}")


class Source:
    """Collects what one Python function needs: names, columns, functions of parts."""

    def __init__(self) -> None:
        self._namespace: dict[str, Any] = {
            **NAMESPACE,
            "RejectedError": RejectedError,
            "failed": _failed,
        }
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []
        self._columns: dict[int, ColumnValue] = {}
        self._count = 0

    def function(self, body: str) -> Callable[[Row], Any]:
        """The finished function; anything unforeseen in it rejects the row."""
        source = "\n".join(
            [
                "def evaluate(row):",
                "    try:",
                *(f"        {line}" for line in [*self._prologue(body), f"return {body}"]),
                "    except RejectedError:",
                "        raise",
                "    except Exception as error:",
                "        raise failed(error) from error",
            ]
        )
        made: Callable[[Row], Any] = self._run(source, "evaluate")
        return made

    def _run(self, source: str, name: str) -> Any:
        exec(compile(source, "<expression>", "exec"), self._namespace)  # noqa: S102  source made here, names only of ours
        return self._namespace[name]

    def _prologue(self, body: str) -> list[str]:
        lines = []
        for place, column in sorted(self._columns.items()):
            if re.search(rf"\b[rc]{place}\b", body):
                lines.append(f"r{place} = row[{place}]")
            if re.search(rf"\bc{place}\b", body):
                decode = self._name(self._decoder(column))
                lines.append(f'c{place} = None if r{place} == b"null" else {decode}(r{place})')
        return lines

    @staticmethod
    def _decoder(column: ColumnValue) -> Callable[[bytes], Any]:
        decode = decoder(column.stored)
        if decode is None:
            raise ExpressionError(
                f"values of type {shown(column.stored)} can't be used in an expression", column.at
            )
        return decode

    def _short(self, code: str) -> str:
        """The code, or a call of a new function that holds it when it is nested too deep."""
        depth = deepest = 0
        for character in code:
            depth += (character == "(") - (character == ")")
            deepest = max(deepest, depth)
        if deepest < _MOST_PARENTHESES:
            return code
        name = self._fresh("part")
        lines = [*self._prologue(code), f"return {code}"]
        self._run("\n".join([f"def {name}(row):", *(f"    {line}" for line in lines)]), name)
        return f"{name}(row)"

    def _fresh(self, letter: str) -> str:
        self._count += 1
        return f"{letter}_{self._count}"

    def _name(self, thing: Any) -> str:
        """The name by which the source refers to a Python object."""
        if id(thing) not in self._names:
            self._names[id(thing)] = self._fresh("k")
            self._namespace[self._names[id(thing)]] = thing
            self._kept.append(thing)  # its id stays its own
        return self._names[id(thing)]

    def _raw(self, tree: ColumnValue) -> str:
        self._columns.setdefault(tree.place, tree)
        return f"r{tree.place}"
