"""What one client has written and seen: the positions that its next read must not lie before."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeVar

from cdc_daemon.client.signing import (
    DEFAULT_LIFETIME_SECONDS,
    MOST_SIGNED_CHARACTERS,
    sign,
    verified,
)
from cdc_daemon.client.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdc_daemon.client.signing import Secrets

MOST_HISTORIES: Final = 4
"""Databases that one user writes to. What is beyond them, the oldest, has long been searchable."""
MOST_PROJECTIONS: Final = 16
"""Read models of which positions are kept: a cookie has 4 KB."""

_TOKENS: Final = "t"
_SEEN: Final = "s"

Key = TypeVar("Key")


class Session:
    """The newest token of each database, and the newest position seen of each read model.

    For any thread: two requests of one user may share it.
    """

    def __init__(
        self, tokens: Iterable[Token] = (), seen: Mapping[str, Token] | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str | None, Token] = {}
        self._seen: dict[str, Token] = {}
        for token in tokens:
            self.note(token)
        for projection, position in (seen or {}).items():
            self.saw(projection, position)
        self.has_new_tokens = False
        """Something was written, or lost, since it was made: the client must be told."""
        self.has_new_positions = False
        """Something newer was seen."""

    def note(self, token: Token | str) -> None:
        """A commit of this client: later reads wait for it. Raises TokenError."""
        token = Token.parse(token) if isinstance(token, str) else token
        with self._lock:
            if _keep(self._tokens, token.system, token, MOST_HISTORIES):
                self.has_new_tokens = True

    def saw(self, projection: str, position: Token) -> None:
        """A search has shown everything up to there: no later one may show less."""
        with self._lock:
            before = self._seen.get(projection)
            if before is not None and before.system != position.system:
                del self._seen[projection]
            if _keep(self._seen, projection, position, MOST_PROJECTIONS):
                self.has_new_positions = True

    def forget(self, system: str | None) -> None:
        """What is known of a database can't be waited for any more: its history was lost."""
        with self._lock:
            self._tokens = {s: t for s, t in self._tokens.items() if s not in {system, None}}
            self._seen = {p: t for p, t in self._seen.items() if t.system != system}
            self.has_new_tokens = self.has_new_positions = True

    def carry_over(self, now: Token) -> None:
        """What was kept of earlier timelines is waited for in that of `now`.

        There it lies below these positions as well, if it wasn't lost.
        """
        with self._lock:
            self._tokens = {s: _carried(t, now) for s, t in self._tokens.items()}
            self._seen = {p: _carried(t, now) for p, t in self._seen.items()}
            self.has_new_tokens = self.has_new_positions = True

    def merge(self, other: Session) -> None:
        """Take over what another one of the same client knows."""
        for token in other.tokens:
            self.note(token)
        for projection, position in other.seen.items():
            self.saw(projection, position)

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The newest of each database, the one noted last at the end."""
        with self._lock:
            return tuple(self._tokens.values())

    @property
    def seen(self) -> Mapping[str, Token]:
        """The newest position of each read model."""
        with self._lock:
            return dict(self._seen)

    def positions(self, projection: str | None, system: str | None) -> list[Token]:
        """What a read of `projection` must wait for where `system` is followed."""
        return [t for t in self._known(projection) if t.system in {system, None}]

    def likely(self, projection: str | None, system: str | None) -> str | None:
        """The database to ask for where `system` was followed a moment ago: the one noted last.

        Unless something of `system` itself is kept. So a write after a restore isn't forgotten.
        """
        systems = [t.system for t in self._known(projection) if t.system is not None]
        return system if system in systems or not systems else systems[-1]

    def _known(self, projection: str | None) -> list[Token]:
        seen = self.seen.get(projection or "")
        return [*(() if seen is None else (seen,)), *self.tokens]

    def to_cookie(self, secrets: Secrets) -> str:
        """As text that only who has the secret can make; of several the first one signs.

        Where it would be longer than a cookie, what was seen longest ago is left out.
        """
        tokens = [str(token) for token in self.tokens]
        seen = {projection: str(position) for projection, position in self.seen.items()}
        while True:
            text = sign({_TOKENS: tokens, _SEEN: seen}, secrets)
            if len(text) <= MOST_SIGNED_CHARACTERS or not seen:
                return text
            del seen[next(iter(seen))]

    @classmethod
    def from_cookie(
        cls, text: str, secrets: Secrets, lifetime_seconds: float = DEFAULT_LIFETIME_SECONDS
    ) -> Session:
        """Read `to_cookie`'s text. Raises CookieError: begin a new one then, nothing is lost."""
        said = verified(text, secrets, lifetime_seconds)
        seen = {projection: Token.parse(token) for projection, token in said[_SEEN].items()}
        return cls([Token.parse(token) for token in said[_TOKENS]], seen)


def _carried(token: Token, now: Token) -> Token:
    is_earlier = token.system == now.system and token.timeline < now.timeline
    return Token(now.epoch, token.lsn) if is_earlier else token


def _keep(kept: dict[Key, Token], key: Key, token: Token, most: int) -> bool:
    """The later one at the end, whether it is new; the oldest goes where there are too many."""
    before = kept.pop(key, None)
    kept[key] = token if before is None else before | token
    while len(kept) > most:
        del kept[next(iter(kept))]
    return kept[key] != before
