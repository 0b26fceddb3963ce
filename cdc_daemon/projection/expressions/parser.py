"""PostgreSQL's expression grammar: tokens to syntax, with PostgreSQL's own precedence.

sqlglot splits the text; the grammar is ours because sqlglot's parser is made to translate between
dialects: it takes what PostgreSQL refuses (`a < b = c`, `ifnull(a, b)`), rewrites what it takes
(`a[1]` to index 0, the text key of `->` to a path) and keeps no place for operators and literals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.projection.expressions.errors import ExpressionError
from cdc_daemon.projection.expressions.syntax import Apply, CastTo, Literal, Name, Syntax, TypeName
from cdc_daemon.projection.expressions.tokens import Token, tokenize

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST: Final = 40
"""Levels of nesting. PostgreSQL allows more; nobody reads more."""

LONGEST_CHAIN: Final = 100
"""Operators in a row (`a || b || c`): each one is a level of the tree."""

OR, AND, NOT, IS, COMPARISON, RANGE, OTHER, SUM, PRODUCT, POWER, AT_ZONE, SIGN, SUBSCRIPT, CAST = (
    range(1, 15)
)
_LOOSEST = 0

_BINARY: Final = dict.fromkeys(("<", ">", "=", "<=", ">=", "<>"), COMPARISON) | {
    **dict.fromkeys(("+", "-"), SUM),
    **dict.fromkeys(("*", "/", "%"), PRODUCT),
    "^": POWER,
}
_NOT_ASSOCIATIVE: Final = frozenset({IS, COMPARISON, RANGE})
_NOT_OPERATORS: Final = frozenset("()[],;:.") | {"::"}
_LONG_TYPES: Final = {
    "double": ("precision", "float8"),
    "character": ("varying", "varchar"),
    "char": ("varying", "varchar"),
}
_TYPED_LITERALS: Final = frozenset(
    "date time timestamp timestamptz interval numeric decimal int int2 int4 int8 integer bigint smallint"
    " float4 float8 real double bool boolean uuid text varchar bytea character char bpchar jsonb json".split()
)
_RESERVED: Final = frozenset(
    "all and any array as asc case cast collate current_catalog current_date current_role current_schema"
    " current_time current_timestamp current_user default distinct else end except exists false from group"
    " having in intersect is isnull like ilike limit localtime localtimestamp not notnull null offset on or"
    " order over select session_user similar some symmetric then to true union unique user using when where"
    " window with".split()
)
_VALUE_WORDS: Final = frozenset(
    "current_catalog current_date current_role current_schema current_time current_timestamp current_user"
    " localtime localtimestamp session_user user".split()
)


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


class _Parser:
    """A precedence-climbing parser over a list of tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    # --- tokens

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._token
        self._next += token.kind != "end"
        return token

    def _is(self, text: str) -> bool:
        return self._token.text == text and self._token.kind in {"word", "symbol"}

    def _accept(self, *texts: str) -> bool:
        """Take all of `texts` if they come next."""
        ahead = self._tokens[self._next : self._next + len(texts)]
        found = [t.text for t in ahead if t.kind in {"word", "symbol"}] == list(texts)
        self._next += len(texts) * found
        return found

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._unexpected(f"expected {text!r}")

    def _unexpected(self, why: str) -> ExpressionError:
        found = self._token
        shown = found.text if found.kind == "end" else repr(found.text)
        return ExpressionError(f"syntax error at {shown}: {why}", found.at)

    # --- expressions

    def whole(self) -> Syntax:
        if self._token.kind == "end":
            raise ExpressionError("the expression is empty")
        syntax = self._expression()
        if self._token.kind != "end":
            raise self._unexpected("the expression should end here")
        return syntax

    def _expression(self, tighter_than: int = _LOOSEST) -> Syntax:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(f"nested more than {DEEPEST} levels deep", self._token.at)
        left = self._prefix()
        closed = CAST + 1  # the level at which nothing may follow: `a < b < c` is no SQL
        while (level := self._level()) > tighter_than:
            if level == closed:
                raise self._unexpected("use parentheses: this operator can't be chained")
            left = self._infix(left, level)
            closed = level if level in _NOT_ASSOCIATIVE else CAST + 1
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
        if text in _NOT_OPERATORS:
            return {"[": SUBSCRIPT, "::": CAST}.get(text, 0)
        return _BINARY.get(text, OTHER)

    def _infix(self, left: Syntax, level: int) -> Syntax:
        token = self._take()
        rules: dict[int, Callable[[Syntax, Token], Syntax]] = {
            OR: self._logic, AND: self._logic, IS: self._is_test, RANGE: self._range,
            AT_ZONE: self._zone, SUBSCRIPT: self._subscript, CAST: self._cast,
        }  # fmt: skip
        if level in rules:
            return rules[level](left, token)
        if self._token.text in {"any", "some", "all"} and self._token.kind == "word":
            return self._quantified(left, token)
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
        return Apply(token.at, "special", "in", (left, *self._list(")")))

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

    def _zone(self, left: Syntax, token: Token) -> Syntax:
        if token.text == "collate":
            raise ExpressionError(
                'COLLATE is not supported: text is compared bytewise ("C")', token.at
            )
        self._expect("time")
        self._expect("zone")
        return Apply(token.at, "special", "at time zone", (left, self._expression(AT_ZONE)))

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

    # --- operands

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
            "not": self._not, "case": self._case, "cast": self._cast_call, "array": self._array,
            "null": self._constant, "true": self._constant, "false": self._constant,
            "select": self._subquery, "exists": self._subquery, "with": self._subquery,
        }  # fmt: skip
        if token.text in special:
            return special[token.text](token)
        if token.text in _VALUE_WORDS:
            return Apply(token.at, "function", token.text, ())
        if token.text in _TYPED_LITERALS and (literal := self._typed_literal(token)):
            return literal
        if token.text in _RESERVED:
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
        """Arguments: operand (or none), then condition and value of each branch, then the default."""
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
            "extract": self._extract, "position": self._position, "substring": self._substring,
            "trim": self._trim,
        }  # fmt: skip
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

    # --- types

    def _type_name(self) -> TypeName:
        token = self._take()
        if token.kind not in {"word", "name"}:
            self._next -= token.kind != "end"
            raise self._unexpected("expected a type name")
        name = token.text
        if self._accept("."):
            name = self._take().text
        if token.kind == "word" and name in _LONG_TYPES and self._accept(_LONG_TYPES[name][0]):
            name = _LONG_TYPES[name][1]
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


class _Named(list[Syntax]):
    """The arguments of TRIM, with the function that its LEADING or TRAILING asks for."""

    def __init__(self, name: str, items: list[Syntax]) -> None:
        super().__init__(items)
        self.name = name
