"""Reading tokens one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.projection.expressions.errors import ExpressionError

if TYPE_CHECKING:
    from cdc_daemon.projection.expressions.tokens import Token


class TokenStream:
    """A list of tokens and a place in it."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0

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
