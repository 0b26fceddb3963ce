from __future__ import annotations

import asyncio
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import django  # type: ignore[import-untyped]  # Django brings no types
import psycopg
import pytest
from django.conf import settings  # type: ignore[import-untyped]  # as above
from django.core.handlers.asgi import ASGIRequest  # type: ignore[import-untyped]  # as above
from django.db import connections, transaction  # type: ignore[import-untyped]  # as above
from django.http import HttpResponse  # type: ignore[import-untyped]  # as above
from django.test import RequestFactory  # type: ignore[import-untyped]  # as above

from cdc_daemon.client import Token
from cdc_daemon.client.django import ConsistencyMiddleware, note_commit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database

SECRET = "a secret of the tests"  # noqa: S105 - of throw-away sessions
INSERT = "insert into hotel values (1)"


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """A database with a table, which is Django's for one test."""
    if not settings.configured:
        engine = {"ENGINE": "django.db.backends.postgresql", "NAME": ""}
        settings.configure(SECRET_KEY=SECRET, DATABASES={"default": engine})
        django.setup()
    info = psycopg.conninfo.conninfo_to_dict(database.dsn)
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host"}
    there = connections["default"].settings_dict
    there.update({key: info[name] for key, name in names.items()}, PORT=info["port"])
    with connections["default"].cursor() as cursor:
        cursor.execute("create table hotel (id int)")
    yield database
    connections["default"].close()


def atomic(request: Any) -> HttpResponse:
    """A view that writes in a transaction of its own."""
    with transaction.atomic():
        with connections["default"].cursor() as cursor:
            cursor.execute(INSERT)
        note_commit(request)
        assert request.consistency.tokens == ()
    return HttpResponse("written")


def known(request: Any) -> HttpResponse:
    """A view that says what is known."""
    return HttpResponse(" ".join(map(str, request.consistency.tokens)))


async def known_later(request: Any) -> HttpResponse:
    """The same as a coroutine."""
    return known(request)


def position(shop: Database) -> int:
    """Where the log of the server ends."""
    with psycopg.connect(shop.dsn) as connection:
        row = connection.execute("select pg_current_wal_insert_lsn()").fetchone()
    assert row is not None
    return Token.parse(row[0]).lsn


def request_with(cookies: SimpleCookie, **headers: str) -> Any:
    """The next request of a browser."""
    factory = RequestFactory(headers=headers)
    factory.cookies.update(cookies)
    return factory.get("/")


def test_a_commit_is_noted_once_it_is_made(shop: Database) -> None:
    """Not before; the next request knows it, by the cookie or by the header."""
    before = position(shop)
    response = ConsistencyMiddleware(atomic)(RequestFactory().get("/"))
    said = ConsistencyMiddleware(known)(request_with(response.cookies)).content.decode()
    assert before < Token.parse(said).lsn <= position(shop)
    header = response.headers["X-CDC-Session"]
    by_header = request_with(SimpleCookie(), **{"X-CDC-Session": header})
    assert ConsistencyMiddleware(known)(by_header).content.decode() == said


def test_what_is_rolled_back_is_not_noted(shop: Database) -> None:
    """There is nothing to wait for."""

    def fail(request: Any) -> HttpResponse:
        with transaction.atomic():
            note_commit(request)
            transaction.set_rollback(True)
        return known(request)

    response = ConsistencyMiddleware(fail)(RequestFactory().get("/"))
    assert (response.content, list(response.cookies)) == (b"", [])
    assert position(shop)


def test_without_a_transaction_the_commit_was_before(shop: Database) -> None:
    """Django commits each statement by itself, unless told otherwise."""

    def view(request: Any) -> HttpResponse:
        with connections["default"].cursor() as cursor:
            cursor.execute(INSERT)
        note_commit(request)
        return known(request)

    said = ConsistencyMiddleware(view)(RequestFactory().get("/")).content.decode()
    assert Token.parse(said).lsn <= position(shop)


def test_cookies_are_safe_and_a_spoilt_one_is_nothing(shop: Database) -> None:
    """As with any other framework."""
    cookies = ConsistencyMiddleware(atomic)(RequestFactory().get("/", secure=True)).cookies
    (kept,) = cookies.values()
    assert (kept["httponly"], kept["secure"], kept["samesite"]) == (True, True, "Lax")
    spoilt = SimpleCookie({kept.key: kept.value[:-2]})
    assert ConsistencyMiddleware(known)(request_with(spoilt)).content == b""
    assert position(shop)


def test_asynchronous_views_have_it_too(shop: Database) -> None:
    """The middleware is a coroutine where the view is one."""
    (kept,) = ConsistencyMiddleware(atomic)(RequestFactory().get("/")).cookies.values()
    middleware = ConsistencyMiddleware(known_later)

    async def ask() -> HttpResponse:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [(b"cookie", f"{kept.key}={kept.value}".encode())],
        }
        return await middleware(ASGIRequest(scope, None))

    assert Token.parse(asyncio.run(ask()).content.decode()).lsn <= position(shop)
