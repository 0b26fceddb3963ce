"""Middleware for Django: `request.consistency` is the client's Session.

    MIDDLEWARE = [..., "cdc_daemon.client.django.ConsistencyMiddleware"]

Signed with SECRET_KEY, unless CDC_CONSISTENCY = {"secret": ...} says otherwise; its other keys
are those of `Carrier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings  # type: ignore[import-untyped]  # Django brings no types
from django.db import connections, transaction  # type: ignore[import-untyped]  # as above

from cdc_daemon.client.carrying import Carrier
from cdc_daemon.client.commits import TOKEN_SQL
from cdc_daemon.client.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import (  # type: ignore[import-untyped]  # as above
        HttpRequest,
        HttpResponse,
    )

SETTING: Final = "CDC_CONSISTENCY"
DEFAULT_DATABASE: Final = "default"


class ConsistencyMiddleware:
    """Brings the session with each request, and sends it back where it has changed."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._carrier = Carrier(**{"secret": _secrets(), **getattr(settings, SETTING, {})})
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """The response to one request; of an asynchronous view an awaitable of it."""
        self._bring(request)
        if self._is_async:
            return self._later(request)
        return self._sent_back(request, self._get_response(request))

    async def _later(self, request: HttpRequest) -> HttpResponse:
        return self._sent_back(request, await self._get_response(request))

    def _bring(self, request: HttpRequest) -> None:
        header = request.headers.get(self._carrier.header)
        request.consistency = self._carrier.brought(request.COOKIES, header)

    def _sent_back(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        for cookie in self._carrier.cookies(request.consistency, request.COOKIES):
            response.set_cookie(
                cookie.name,
                cookie.value,
                max_age=cookie.lifetime_seconds,
                secure=request.is_secure(),
                httponly=True,
                samesite="Lax",
            )
        text = self._carrier.text(request.consistency)
        if text is not None:
            response[self._carrier.header] = text
        return response


def note_commit(request: HttpRequest, using: str = DEFAULT_DATABASE) -> None:
    """Note the transaction that is open, once it has committed; at once where none is.

    In an atomic block, or anywhere in a view under ATOMIC_REQUESTS.
    """
    session = request.consistency
    transaction.on_commit(lambda: session.note(token_of(using)), using=using)


def token_of(using: str = DEFAULT_DATABASE) -> Token:
    """The position now, after a commit of one's own."""
    with connections[using].cursor() as cursor:
        cursor.execute(TOKEN_SQL)
        return Token.parse(cursor.fetchone()[0])


def _secrets() -> list[str]:
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
