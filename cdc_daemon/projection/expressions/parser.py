"""PostgreSQL's expression grammar: tokens to syntax, with PostgreSQL's own precedence.

sqlglot splits the text; the grammar is ours because sqlglot's parser is made to translate between
dialects: it takes what PostgreSQL refuses (`a < b = c`, `ifnull(a, b)`), rewrites what it takes
(`a[1]` to index 0, `len(a)` to `length(a)`) and keeps no place for operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.operands import OperandParser
from cdc_daemon.projection.expressions.precedence import (
    AND,
    AT_ZONE,
    BINARY,
    CAST,
    IS,
    LOOSEST,
    NOT_ASSOCIATIVE,
    NOT_OPERATORS,
    OR,
    OTHER,
    RANGE,
    SUBSCRIPT,
)
from cdc_daemon.projection.expressions.syntax import Apply, CastTo, Syntax
from cdc_daemon.projection.expressions.tokens import Token, tokenize

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST: Final = 40
"""Levels of nesting. PostgreSQL allows more; nobody reads more."""

LIKE_OPERATORS: Final = {"~~": "like", "~~*": "ilike"}
"""What PostgreSQL makes of LIKE and ILIKE, and shows of expressions that it keeps."""

BYTEWISE: Final = frozenset({"C", "POSIX"})
"""Collations that are everywhere, and compare bytes."""

LONGEST_CHAIN: Final = 100
"""Operators in a row (`a || b || c`): each one is a level of the tree."""


def parse(sql: str) -> Syntax:
    """The syntax of one expression. Raises ExpressionError with the place of the mistake."""
    syntax = _Parser(tokenize(sql)).whole()
    level, depth = [syntax], 0
    while level:
        depth += 1
        if depth > LONGEST_CHAIN:
            raise ExpressionError(f"more than {LONGEST_CHAIN} operators in a row", level[0].at)
        level = [part for syntax in level for part in _parts(syntax)]
    return syntax


def _parts(syntax: Syntax) -> tuple[Syntax, ...]:
    if isinstance(syntax, CastTo):
        return (syntax.operand,)
    return syntax.arguments if isinstance(syntax, Apply) else ()


class _Parser(OperandParser):
    """A precedence-climbing parser over a list of tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self._depth = 0

    def whole(self) -> Syntax:
        if self._token.kind == "end":
            raise ExpressionError("the expression is empty")
        syntax = self._expression()
        if self._token.kind != "end":
            raise self._unexpected("the expression should end here")
        return syntax

    def _expression(self, tighter_than: int = LOOSEST) -> Syntax:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(f"nested more than {DEEPEST} levels deep", self._token.at)
        left = self._prefix()
        closed = CAST + 1  # the level at which nothing may follow: `a < b < c` is no SQL
        while (level := self._level()) > tighter_than:
            if level == closed:
                raise self._unexpected("use parentheses: this operator can't be chained")
            left = self._infix(left, level)
            closed = level if level in NOT_ASSOCIATIVE else CAST + 1
        self._depth -= 1
        return left

    def _level(self) -> int:
        """How tightly the next token binds what is left of it; 0 if it is no operator."""
        token = self._token
        if token.kind == "symbol":
            return self._symbol_level(token.text)
        if token.kind != "word":
            return 0
        if token.text == "not":
            after = self._tokens[self._next + 1].text
            return RANGE if after in {"in", "like", "ilike", "between", "similar"} else 0
        words = {
            "or": OR,
            "and": AND,
            "is": IS,
            "isnull": IS,
            "notnull": IS,
            "at": AT_ZONE,
            "collate": AT_ZONE,
        }
        words |= dict.fromkeys(("in", "like", "ilike", "between", "similar"), RANGE)
        return words.get(token.text, 0)

    @staticmethod
    def _symbol_level(text: str) -> int:
        if text in NOT_OPERATORS:
            return {"[": SUBSCRIPT, "::": CAST}.get(text, 0)
        return BINARY.get(text, OTHER)

    def _infix(self, left: Syntax, level: int) -> Syntax:
        token = self._take()
        rules: dict[int, Callable[[Syntax, Token], Syntax]] = {
            OR: self._logic,
            AND: self._logic,
            IS: self._is_test,
            RANGE: self._range,
            AT_ZONE: self._zone,
            SUBSCRIPT: self._subscript,
            CAST: self._cast,
        }
        if level in rules:
            return rules[level](left, token)
        if self._token.text in {"any", "some", "all"} and self._token.kind == "word":
            return self._quantified(left, token)
        if (self._token.text if token.text == "!" else token.text) in LIKE_OPERATORS:
            return self._like_operator(left, token, level)
        return Apply(token.at, "operator", token.text, (left, self._expression(level)))

    def _logic(self, left: Syntax, token: Token) -> Syntax:
        """One flat node for `a and b and c`: long chains are common and not deep."""
        operands = [left, self._expression(OR if token.text == "or" else AND)]
        while self._accept(token.text):
            operands.append(self._expression(OR if token.text == "or" else AND))
        return Apply(token.at, "special", token.text, tuple(operands))

    def _is_test(self, left: Syntax, token: Token) -> Syntax:
        if token.text != "is":
            return Apply(
                token.at, "special", "is null" if token.text == "isnull" else "is not null", (left,)
            )
        negated = "not " if self._accept("not") else ""
        if self._accept("distinct", "from"):
            return Apply(
                token.at, "special", f"is {negated}distinct from", (left, self._expression(IS))
            )
        for word in ("null", "true", "false", "unknown"):
            if self._accept(word):
                return Apply(token.at, "special", f"is {negated}{word}", (left,))
        raise self._unexpected("after IS comes NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM")

    def _range(self, left: Syntax, token: Token) -> Syntax:
        negated = token.text == "not"
        word = self._take().text if negated else token.text
        rule = {"in": self._in, "between": self._between}.get(word)
        syntax = rule(left, token) if rule else self._like(left, token, word)
        return Apply(token.at, "special", "not", (syntax,)) if negated else syntax

    def _in(self, left: Syntax, token: Token) -> Syntax:
        self._expect("(")
        items = self._list(")")
        if not items:
            raise ExpressionError("IN needs at least one value", token.at)
        return Apply(token.at, "special", "in", (left, *items))

    def _between(self, left: Syntax, token: Token) -> Syntax:
        name = "between symmetric" if self._accept("symmetric") else "between"
        self._accept("asymmetric")
        low = self._expression(RANGE)
        self._expect("and")
        return Apply(token.at, "special", name, (left, low, self._expression(RANGE)))

    def _like(self, left: Syntax, token: Token, word: str) -> Syntax:
        if word == "similar":
            raise ExpressionError("SIMILAR TO is not supported: use LIKE", token.at)
        pattern = self._expression(RANGE)
        if self._accept("escape"):
            return Apply(token.at, "special", word, (left, pattern, self._expression(RANGE)))
        return Apply(token.at, "special", word, (left, pattern))

    def _like_operator(self, left: Syntax, token: Token, level: int) -> Syntax:
        """`~~` and `~~*`; with `!` before it, it is NOT LIKE."""
        negated = token.text == "!"
        name = LIKE_OPERATORS[self._take().text if negated else token.text]
        syntax = Apply(token.at, "special", name, (left, self._expression(level)))
        return Apply(token.at, "special", "not", (syntax,)) if negated else syntax

    def _zone(self, left: Syntax, token: Token) -> Syntax:
        if token.text == "collate":
            return self._collate(left, token)
        self._expect("time")
        self._expect("zone")
        return Apply(token.at, "special", "at time zone", (left, self._expression(AT_ZONE)))

    def _collate(self, left: Syntax, token: Token) -> Syntax:
        if self._accept("pg_catalog"):  # as PostgreSQL shows expressions that it keeps
            self._expect(".")
        found = self._take()
        if found.kind != "name" or found.text not in BYTEWISE:
            raise ExpressionError(
                'of collations there is COLLATE "C" only: text is compared by its bytes', token.at
            )
        return Apply(token.at, "special", "collate", (left,))

    def _subscript(self, left: Syntax, token: Token) -> Syntax:
        index = self._expression()
        if self._is(":"):
            raise ExpressionError(
                "array slices are not supported: use a single subscript", token.at
            )
        self._expect("]")
        return Apply(token.at, "special", "subscript", (left, index))

    def _cast(self, left: Syntax, token: Token) -> Syntax:
        return CastTo(token.at, left, self._type_name())

    def _quantified(self, left: Syntax, operator: Token) -> Syntax:
        word = self._take().text
        self._expect("(")
        operand = self._expression()
        self._expect(")")
        name = f"{operator.text} {'all' if word == 'all' else 'any'}"
        return Apply(operator.at, "special", name, (left, operand))
