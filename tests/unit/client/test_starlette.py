from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cdc_daemon.client import Session, Token
from cdc_daemon.client.starlette import ConsistencyMiddleware

if TYPE_CHECKING:
    from starlette.requests import Request

SECRET = "a secret of the tests"  # noqa: S105 - of throw-away sessions


async def write(request: Request) -> Response:
    """Note a commit."""
    request.state.consistency.note(request.query_params["token"])
    return PlainTextResponse("written")


def read(request: Request) -> Response:
    """Say what is known."""
    return PlainTextResponse(" ".join(map(str, request.state.consistency.tokens)))


def node(secret: str | list[str] = SECRET) -> Starlette:
    """A web node: they share nothing but the secret."""
    return Starlette(
        routes=[Route("/write", write), Route("/read", read)],
        middleware=[Middleware(ConsistencyMiddleware, secret=secret)],
    )


class Visitor:
    """A browser, which goes to whichever node it is sent to."""

    def __init__(self, **cookies: str) -> None:
        self.cookies = httpx.Cookies(cookies)

    def get(
        self, node: Starlette, path: str, scheme: str = "http", **headers: str
    ) -> httpx.Response:
        """One request, with its cookies and those that it brings."""

        async def ask() -> httpx.Response:
            there = httpx.ASGITransport(node)
            async with httpx.AsyncClient(transport=there, cookies=self.cookies) as client:
                response = await client.get(f"{scheme}://shop{path}", headers=headers)
                self.cookies = client.cookies
                return response

        return asyncio.run(ask())


def test_another_node_knows_what_one_has_written() -> None:
    """The browser carries it: nothing is kept on a node."""
    visitor, one, other = Visitor(), node(), node()
    visitor.get(one, "/write?token=7/1:0/5")
    assert visitor.get(other, "/read").text == "7/1:0/5"
    visitor.get(other, "/write?token=7/1:0/9")
    assert visitor.get(one, "/read").text == "7/1:0/9"
    assert len(visitor.cookies) == 1


def test_a_cookie_is_safe_from_scripts_and_other_sites() -> None:
    """And over https it is sent over nothing else."""
    for scheme, expected in (("http", False), ("https", True)):
        said = Visitor().get(node(), "/write?token=7/1:0/5", scheme).headers["set-cookie"]
        assert "HttpOnly; SameSite=Lax" in said
        assert ("; Secure" in said) is expected


def test_a_read_that_learns_nothing_sends_nothing() -> None:
    """So its response can be cached as before."""
    headers = Visitor().get(node(), "/read").headers
    assert {"set-cookie", "x-cdc-session"} & set(headers) == set()


def test_a_service_carries_the_header() -> None:
    """What has no cookies sends back what it was given."""
    said = Visitor().get(node(), "/write?token=7/1:0/5").headers["X-CDC-Session"]
    assert Visitor().get(node(), "/read", **{"X-CDC-Session": said}).text == "7/1:0/5"


@pytest.mark.parametrize(
    "cookie",
    ["tampered", Session([Token(None, 5)]).to_cookie(SECRET * 2)],
    ids=["tampered", "foreign"],  # the last says when it was written
)
def test_a_spoilt_cookie_is_a_new_session(cookie: str) -> None:
    """Neither an error nor anybody's tokens."""
    response = Visitor(**{"cdc_session-01234567": cookie}).get(node(), "/read")
    assert (response.status_code, response.text) == (200, "")


def test_secrets_can_be_replaced_node_by_node() -> None:
    """A node with both secrets reads what the others still sign."""
    visitor = Visitor()
    visitor.get(node(), "/write?token=7/1:0/5")
    assert visitor.get(node([SECRET[::-1], SECRET]), "/read").text == "7/1:0/5"
