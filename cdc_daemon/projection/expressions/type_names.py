"""Type names as SQL writes them: `numeric(10,2)`, `timestamp with time zone`, `text[]`."""

from __future__ import annotations

from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.stream import TokenStream
from cdc_daemon.projection.expressions.syntax import TypeName
from cdc_daemon.projection.expressions.words import LONG_TYPES


class TypeNameParser(TokenStream):
    """Reads type names."""

    def _type_name(self) -> TypeName:
        token = self._take()
        if token.kind not in {"word", "name"}:
            self._next -= token.kind != "end"
            raise self._unexpected("expected a type name")
        name = token.text
        if self._accept("."):
            name = self._take().text
        if token.kind == "word" and name in LONG_TYPES and self._accept(LONG_TYPES[name][0]):
            name = LONG_TYPES[name][1]
        modifiers = self._modifiers()
        if name in {"time", "timestamp"}:
            if self._accept("with", "time", "zone"):
                name += "tz"
            else:
                self._accept("without", "time", "zone")
        array = self._accept("[", "]")
        if token.kind == "name" and name == "char":
            name = '"char"'
        return TypeName(name, modifiers, array, token.at)

    def _modifiers(self) -> tuple[int, ...]:
        if not self._accept("("):
            return ()
        found: list[int] = []
        while not self._accept(")"):
            sign = -1 if self._accept("-") else 1
            number = self._take()
            if number.kind != "number" or not number.text.isdigit():
                raise ExpressionError("expected a whole number", number.at)
            found.append(sign * int(number.text))
            if not self._is(")"):
                self._expect(",")
        return tuple(found)
