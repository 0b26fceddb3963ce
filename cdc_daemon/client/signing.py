"""Text that a browser or another service keeps for us, and can't alter: HMAC-SHA256."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from cdc_daemon.client.errors import CookieError

Secrets: TypeAlias = str | Sequence[str]
"""The first one signs, all of them verify: so a secret can be replaced without a break."""

DEFAULT_LIFETIME_SECONDS: Final = 86_400.0
"""What was written a day ago is searchable, or the delay has raised its alarm long before."""
LEAST_SECRET_CHARACTERS: Final = 16
LONGEST_CHARACTERS: Final = 4096
"""As much as browsers keep of a cookie."""
MOST_SIGNED_CHARACTERS: Final = LONGEST_CHARACTERS - 256
"""That counts the name of the cookie, too."""

_PURPOSE: Final = b"cdc-daemon session 1\0"
"""A signature of the same secret for something else isn't one of a session."""
_CLOCKS_DIFFER_SECONDS: Final = 60.0
"""Two web nodes' clocks may differ by this."""
_NOT_OURS: Final = "not a session that was signed with one of these secrets"


def sign(content: dict[str, Any], secrets: Secrets) -> str:
    """The content with the time, as text that fits into a cookie and a header."""
    dated = {**content, "at": int(time.time())}
    text = _encoded(json.dumps(dated, separators=(",", ":")).encode())
    return f"{text}.{_signature(text, _checked(secrets)[0])}"


def verified(text: str, secrets: Secrets, lifetime_seconds: float) -> dict[str, Any]:
    """The content that was signed. Raises CookieError."""
    content, _, signature = text.partition(".")
    right = [_signature(content, secret) for secret in _checked(secrets)]
    given = signature.encode("utf-8", "replace")
    # Each is compared, in equal time for any wrong one.
    if len(text) > LONGEST_CHARACTERS or not sum(
        hmac.compare_digest(given, signature.encode()) for signature in right
    ):
        raise CookieError(_NOT_OURS)
    signed: dict[str, Any] = json.loads(base64.urlsafe_b64decode(content + "=" * 3))
    age = time.time() - signed["at"]
    if not -_CLOCKS_DIFFER_SECONDS <= age <= lifetime_seconds:
        raise CookieError(f"this session was signed {age:.0f} s ago: begin a new one")
    return signed


def _checked(secrets: Secrets) -> Sequence[str]:
    checked = [secrets] if isinstance(secrets, str) else secrets
    if not checked or min(map(len, checked)) < LEAST_SECRET_CHARACTERS:
        raise CookieError(
            f"a secret has {LEAST_SECRET_CHARACTERS} characters or more: make one by `python -c "
            "'import secrets; print(secrets.token_urlsafe())'`, the same one for all web nodes"
        )
    return checked


def _signature(text: str, secret: str) -> str:
    signed = _PURPOSE + text.encode("utf-8", "replace")
    return _encoded(hmac.digest(secret.encode(), signed, hashlib.sha256))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
