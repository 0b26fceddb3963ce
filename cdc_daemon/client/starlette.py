"""Middleware for Starlette and FastAPI: `request.state.consistency` is the client's Session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

from cdc_daemon.client.carrying import DEFAULT_COOKIE, DEFAULT_HEADER, Carrier
from cdc_daemon.client.signing import DEFAULT_LIFETIME_SECONDS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cdc_daemon.client.carrying import Cookie
    from cdc_daemon.client.session import Session
    from cdc_daemon.client.signing import Secrets


class ConsistencyMiddleware:
    """Brings the session with each request, and sends it back where it has changed.

    What is noted after a response has begun isn't sent any more.
    """

    def __init__(
        self,
        app: ASGIApp,
        secret: Secrets,
        cookie: str = DEFAULT_COOKIE,
        header: str = DEFAULT_HEADER,
        lifetime_seconds: float = DEFAULT_LIFETIME_SECONDS,
    ) -> None:
        self._app = app
        self._carrier = Carrier(secret, cookie, header, lifetime_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it; plain ASGI, so that streams and tasks are left alone."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        came = HTTPConnection(scope)
        session = self._carrier.brought(came.cookies, came.headers.get(self._carrier.header))
        scope.setdefault("state", {})["consistency"] = session

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._send_back(MutableHeaders(scope=message), session, came)
            await send(message)

        await self._app(scope, receive, sending)

    def _send_back(self, headers: MutableHeaders, session: Session, came: HTTPConnection) -> None:
        secure = came.url.scheme == "https"
        for cookie in self._carrier.cookies(session, came.cookies):
            headers.append("set-cookie", _set_cookie(cookie, secure=secure))
        text = self._carrier.text(session)
        if text is not None:
            headers[self._carrier.header] = text


def _set_cookie(cookie: Cookie, *, secure: bool) -> str:
    """The header's value: no script reads it, and no other site sends it along with a write."""
    kept = f"{cookie.name}={cookie.value}; Path=/; Max-Age={cookie.lifetime_seconds}"
    return f"{kept}; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
