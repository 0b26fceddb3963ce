"""Who may change something: whoever brings the API key of the configuration."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from pydantic import SecretStr
    from starlette.requests import Request

_NO_KEY: Final = (
    "this daemon has no API key, so nothing can be changed over HTTP: set web.api_key, such as "
    "${CDC_DAEMON_API_KEY}, and restart it"
)
_WRONG_KEY: Final = (
    "the API key is missing or wrong: send `Authorization: Bearer KEY`, the web.api_key of the "
    "daemon's configuration (the command line takes it from there, or from CDC_DAEMON_API_KEY)"
)


def refusal(request: Request, api_key: SecretStr | None) -> Response | None:
    """Why this request may change nothing; None if it may."""
    if api_key is None:
        return JSONResponse({"error": _NO_KEY}, 403)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    wanted = api_key.get_secret_value().strip().encode()
    # Of equal time for any wrong key, so that none can be found out byte by byte.
    right = hmac.compare_digest(given.strip().encode("latin-1"), wanted)
    if scheme.casefold() != "bearer" or not right or not wanted:
        return JSONResponse({"error": _WRONG_KEY}, 401, {"www-authenticate": "Bearer"})
    return None
