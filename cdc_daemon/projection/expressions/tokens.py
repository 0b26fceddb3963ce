"""Splitting an expression into tokens: sqlglot's PostgreSQL tokenizer, brought to one form."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from cdc_daemon.projection.expressions.errors import ExpressionError

LONGEST = 10_000
"""Characters: a mapping is read by people; what is longer is a mistake."""

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\\": "\\", "'": "'"}
_WORD = re.compile(r"[^\W\d]")


@dataclass(frozen=True, slots=True)
class Token:
    """One word, quoted name, literal or symbol."""

    kind: str
    """`word` (folded to lower case), `name` (quoted), `string`, `number`, `symbol`, `end`."""
    text: str
    at: int


def tokenize(sql: str) -> list[Token]:
    """Tokens of `sql`, the last of kind `end`. Raises ExpressionError."""
    if len(sql) > LONGEST:
        raise ExpressionError(f"the expression is longer than {LONGEST:,} characters", LONGEST)
    try:
        found = Postgres().tokenize(sql)
    except SqlglotError as error:
        raise ExpressionError(f"can't be read as SQL: {_first_line(error)}") from error
    if "\0" in sql:
        raise ExpressionError("PostgreSQL has no character with the code 0", sql.index("\0"))
    tokens: list[Token] = []
    for token in found:
        tokens.extend(
            _convert(token.token_type, token.text, token.start, sql[token.start : token.end + 1])
        )
    return [*tokens, Token("end", "the end of the expression", len(sql))]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _convert(kind: TokenType, text: str, at: int, source: str) -> list[Token]:
    if kind is TokenType.STRING:
        return [Token("string", _plain_string(source, at), at)]
    if kind is TokenType.BYTE_STRING:
        return [Token("string", _escape_string(source, at), at)]
    if kind is TokenType.IDENTIFIER:
        return [Token("name", source[1:-1].replace('""', '"'), at)]
    if kind is TokenType.NUMBER:
        return _number(source, at)
    if "'" in source or "$$" in source:
        raise ExpressionError(f"this kind of string is not supported: {source[:20]}", at)
    if _WORD.match(source):  # several words may be one token ("double precision")
        return [
            Token("word", w.group().lower(), at + w.start()) for w in re.finditer(r"\S+", source)
        ]
    if kind in {TokenType.PARAMETER, TokenType.PLACEHOLDER} and text != "?":
        raise ExpressionError("parameters can't be used in an expression", at)
    return [Token("symbol", "<>" if text == "!=" else source, at)]


def _plain_string(source: str, at: int) -> str:
    if source[0] != "'":
        raise ExpressionError(f"this kind of string is not supported: {source[:20]}", at)
    return source[1:-1].replace("''", "'")


def _escape_string(source: str, at: int) -> str:
    if source[:2] not in {"e'", "E'"}:
        raise ExpressionError(f"this kind of string is not supported: {source[:20]}", at)

    def unescape(found: re.Match[str]) -> str:
        character = found.group(1)
        if found.group() == "''":
            return "'"
        if character not in _ESCAPES:
            raise ExpressionError(
                f"the escape \\{character} is not supported: write the character", at
            )
        return _ESCAPES[character]

    return re.sub(r"''|\\(.)", unescape, source[2:-1], flags=re.DOTALL)


def _number(source: str, at: int) -> list[Token]:
    if not re.fullmatch(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", source, re.ASCII):
        raise ExpressionError(f"not a number of the supported form: {source}", at)
    return [Token("number", source, at)]
