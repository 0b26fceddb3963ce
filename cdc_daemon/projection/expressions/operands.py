"""What stands between operators: literals, names, CASE, casts and function calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.precedence import LOOSEST, NOT, RANGE, SIGN
from cdc_daemon.projection.expressions.syntax import Apply, CastTo, Literal, Name, Syntax
from cdc_daemon.projection.expressions.type_names import TypeNameParser
from cdc_daemon.projection.expressions.words import RESERVED, TYPED_LITERALS, VALUE_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.projection.expressions.tokens import Token


class _Named(list[Syntax]):
    """The arguments of TRIM, with the function that its LEADING or TRAILING asks for."""

    def __init__(self, name: str, items: list[Syntax]) -> None:
        super().__init__(items)
        self.name = name


class OperandParser(TypeNameParser):
    """Reads operands; what is between their parentheses is left to `_expression`."""

    def _expression(self, tighter_than: int = LOOSEST) -> Syntax:
        raise NotImplementedError

    def _prefix(self) -> Syntax:
        token = self._take()
        if token.kind == "string":
            return Literal(token.at, "string", token.text)
        if token.kind == "number":
            return Literal(token.at, "number", token.text)
        if token.kind == "name":
            return self._name(token)
        if token.kind == "word":
            return self._word(token)
        return self._prefix_symbol(token)

    def _prefix_symbol(self, token: Token) -> Syntax:
        if token.text == "(":
            inner = self._expression()
            if self._is(","):
                raise ExpressionError("row constructors are not supported", token.at)
            self._expect(")")
            return inner
        if token.text in {"-", "+"}:
            return Apply(token.at, "operator", token.text, (self._expression(SIGN),))
        self._next -= token.kind != "end"
        if token.text == "*":
            raise self._unexpected("a value is expected; * is no value")
        raise self._unexpected("a value is expected")

    def _word(self, token: Token) -> Syntax:
        special: dict[str, Callable[[Token], Syntax]] = {
            "not": self._not,
            "case": self._case,
            "cast": self._cast_call,
            "array": self._array,
            "null": self._constant,
            "true": self._constant,
            "false": self._constant,
            "select": self._subquery,
            "exists": self._subquery,
            "with": self._subquery,
        }
        if token.text in special:
            return special[token.text](token)
        if token.text in VALUE_WORDS:
            return Apply(token.at, "function", token.text, ())
        if token.text in TYPED_LITERALS and (literal := self._typed_literal(token)):
            return literal
        if token.text in RESERVED:
            self._next -= 1
            raise self._unexpected("a value is expected")
        return self._name(token)

    @staticmethod
    def _constant(token: Token) -> Syntax:
        return Literal(token.at, "null" if token.text == "null" else "boolean", token.text)

    def _not(self, token: Token) -> Syntax:
        return Apply(token.at, "special", "not", (self._expression(NOT - 1),))

    @staticmethod
    def _subquery(token: Token) -> Syntax:
        raise ExpressionError("subqueries are not supported: an expression sees one row", token.at)

    def _array(self, token: Token) -> Syntax:
        self._expect("[")
        return Apply(token.at, "special", "array", tuple(self._list("]")))

    def _typed_literal(self, token: Token) -> Syntax | None:
        start = self._next
        self._next -= 1
        try:
            target = self._type_name()
        except ExpressionError:
            self._next = start
            return None
        if self._token.kind != "string":
            self._next = start
            return None
        text = self._take()
        return CastTo(token.at, Literal(text.at, "string", text.text), target)

    def _case(self, token: Token) -> Syntax:
        """Arguments: operand (or none), condition and value of each branch, the default."""
        operand = () if self._is("when") else (self._expression(),)
        parts: list[Syntax] = []
        while self._accept("when"):
            parts.append(self._expression())
            self._expect("then")
            parts.append(self._expression())
        if not parts:
            raise self._unexpected("expected 'when'")
        default = self._expression() if self._accept("else") else Literal(token.at, "null")
        self._expect("end")
        return Apply(
            token.at, "special", "case of" if operand else "case", (*operand, *parts, default)
        )

    def _cast_call(self, token: Token) -> Syntax:
        self._expect("(")
        operand = self._expression()
        self._expect("as")
        target = self._type_name()
        self._expect(")")
        return CastTo(token.at, operand, target)

    def _name(self, token: Token) -> Syntax:
        parts = [token.text]
        while self._accept("."):
            part = self._take()
            if part.kind not in {"word", "name"}:
                self._next -= 1
                raise self._unexpected("expected a column name")
            parts.append(part.text)
        if self._accept("("):
            return self._call(token, parts)
        return Name(token.at, tuple(parts))

    # --- functions

    def _call(self, token: Token, parts: list[str]) -> Syntax:
        name = parts[-1]
        if parts[:-1] not in ([], ["pg_catalog"]):
            raise ExpressionError(
                f"only PostgreSQL's own functions are supported, not {'.'.join(parts)}", token.at
            )
        rules = {
            "extract": self._extract,
            "position": self._position,
            "substring": self._substring,
            "trim": self._trim,
        }
        rule = rules.get(name)
        arguments = rule() if rule else self._arguments(token)
        if name == "trim":
            name = "btrim" if not isinstance(arguments, _Named) else arguments.name
        call = Apply(token.at, "function", name, tuple(arguments))
        if self._is("over") or self._is("filter") or self._is("within"):
            raise ExpressionError(
                "window functions and aggregates are not supported: an expression sees one row",
                token.at,
            )
        return call

    def _arguments(self, token: Token) -> list[Syntax]:
        if self._is("*") or self._is("distinct"):
            raise ExpressionError(
                f"aggregates are not supported: {token.text}({self._token.text} ...)", token.at
            )
        return self._list(")")

    def _list(self, closing: str) -> list[Syntax]:
        if self._accept(closing):
            return []
        items = [self._expression()]
        while self._accept(","):
            items.append(self._expression())
        self._expect(closing)
        return items

    def _extract(self) -> list[Syntax]:
        field = self._take()
        if field.kind not in {"word", "string", "name"}:
            raise ExpressionError("expected a field name, as in extract(year from ...)", field.at)
        self._expect("from")
        value = self._expression()
        self._expect(")")
        return [Literal(field.at, "string", field.text.lower()), value]

    def _position(self) -> list[Syntax]:
        needle = self._expression(RANGE)
        self._expect("in")
        text = self._expression(RANGE)
        self._expect(")")
        return [text, needle]

    def _substring(self) -> list[Syntax]:
        items = [self._expression()]
        if self._accept("from"):
            items.append(self._expression())
            if self._accept("for"):
                items.append(self._expression())
        elif self._accept("for"):
            items += [Literal(items[0].at, "number", "1"), self._expression()]
        else:
            while self._accept(","):
                items.append(self._expression())
        self._expect(")")
        return items

    def _trim(self) -> list[Syntax]:
        side = next((w for w in ("leading", "trailing", "both") if self._accept(w)), "both")
        items = [] if self._accept("from") else [self._expression()]
        if items and self._accept("from"):
            items.insert(0, self._expression())
        elif not items:
            items = [self._expression()]
        while self._accept(","):
            items.append(self._expression())
        self._expect(")")
        return _Named({"leading": "ltrim", "trailing": "rtrim", "both": "btrim"}[side], items)
