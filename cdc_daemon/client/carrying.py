"""How a session travels between requests: signed cookies for browsers, a header for others.

A browser has several requests under way at once, and keeps of each cookie what came last. So
each response to a write sets a cookie of a new name, and takes away only those that its request
has brought: what a parallel one has set stays. Whatever is brought is combined. What was only seen
is in one cookie, for it changes with every read.
"""

from __future__ import annotations

import re
import secrets as random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.client.errors import CookieError
from cdc_daemon.client.session import Session
from cdc_daemon.client.signing import DEFAULT_LIFETIME_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdc_daemon.client.signing import Secrets

DEFAULT_COOKIE: Final = "cdc_session"
DEFAULT_HEADER: Final = "X-CDC-Session"
_SEEN: Final = "seen"
_RANDOM_BYTES: Final = 4
"""Two requests of one user under way at once never get the same."""
_RANDOM: Final = re.compile(f"[0-9a-f]{{{2 * _RANDOM_BYTES}}}")


class Cookie(NamedTuple):
    """What a browser is told to keep; an empty value: to forget."""

    name: str
    value: str
    lifetime_seconds: int


@dataclass(frozen=True, slots=True)
class Carrier:
    """How sessions travel to and from an application: the same on each of its web nodes."""

    secret: Secrets
    """16 characters or more; of several the first one signs, all of them verify."""
    cookie: str = DEFAULT_COOKIE
    header: str = DEFAULT_HEADER
    lifetime_seconds: float = DEFAULT_LIFETIME_SECONDS

    def __post_init__(self) -> None:
        """Refuse a secret that is too short, when the application starts."""
        Session().to_cookie(self.secret)

    def brought(self, cookies: Mapping[str, str], header: str | None) -> Session:
        """All that a request knows. What isn't ours, or is too old, is nothing."""
        of_seen = f"{self.cookie}-{_SEEN}"
        texts = [
            text for name, text in cookies.items() if name == of_seen or self._is_of_a_write(name)
        ]
        known = Session()
        for text in [*texts, *([header] if header else [])]:
            try:
                known.merge(Session.from_cookie(text, self.secret, self.lifetime_seconds))
            except CookieError:
                continue
        return Session(known.tokens, known.seen)

    def cookies(self, session: Session, brought: Mapping[str, str]) -> Iterator[Cookie]:
        """What a response tells the browser; nothing where nothing is new."""
        if session.has_new_tokens:
            for name in filter(self._is_of_a_write, brought):
                yield Cookie(name, "", 0)
            if session.tokens:
                name = f"{self.cookie}-{random.token_hex(_RANDOM_BYTES)}"
                yield self._cookie(name, Session(session.tokens))
        if session.has_new_positions:
            yield self._cookie(f"{self.cookie}-{_SEEN}", Session((), session.seen))

    def text(self, session: Session) -> str | None:
        """What the header of a response says; None where nothing is new."""
        new = session.has_new_tokens or session.has_new_positions
        return session.to_cookie(self.secret) if new else None

    def _cookie(self, name: str, session: Session) -> Cookie:
        return Cookie(name, session.to_cookie(self.secret), int(self.lifetime_seconds))

    def _is_of_a_write(self, name: str) -> bool:
        """Another application on this host may have a cookie that begins alike."""
        begin, _, end = name.rpartition("-")
        return begin == self.cookie and _RANDOM.fullmatch(end) is not None
