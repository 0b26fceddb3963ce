"""Who may change something: whoever brings a key of the configuration."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr
    from starlette.requests import Request

NO_KEY: Final = (
    "this daemon has no API key, so nothing can be changed over HTTP: set web.api_key, such as "
    "${CDC_DAEMON_API_KEY}, and restart it"
)
WRONG_KEY: Final = (
    "the API key is missing or wrong: send `Authorization: Bearer KEY`, the web.api_key of the "
    "daemon's configuration (the command line takes it from there, or from CDC_DAEMON_API_KEY)"
)
_API_KEY: Final = "web.api_key"


def refusal(request: Request, api_key: SecretStr | None) -> Response | None:
    """Why this request may change nothing; None if it may."""
    if api_key is None:
        return JSONResponse({"error": NO_KEY}, 403)
    if who(brought(request), {_API_KEY: api_key}) is None:
        return JSONResponse({"error": WRONG_KEY}, 401, {"www-authenticate": "Bearer"})
    return None


def brought(request: Request) -> bytes:
    """The key that a request brings; empty where it brings none."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return given.strip().encode("latin-1") if scheme.casefold() == "bearer" else b""


def who(given: bytes, keys: Mapping[str, SecretStr]) -> str | None:
    """The name of who has this key; None where nobody has."""
    found = None
    for name, key in keys.items():
        wanted = key.get_secret_value().strip().encode()
        # Of equal time for any wrong key, so that none can be found out byte by byte.
        if hmac.compare_digest(given, wanted) and wanted:
            found = name
    return found
