from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from opensearchpy import AsyncOpenSearch
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdc_daemon.client import AsyncReadModels, Session, Token, commit_async
from cdc_daemon.client.starlette import ConsistencyMiddleware
from tests.integration.client.conftest import of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from tests.integration.client.conftest import Shop

SECRET = "a secret of the tests"  # noqa: S105 - of throw-away sessions
NODES = 2
ROUNDS = 15


def node(shop: Shop, models: AsyncReadModels) -> Starlette:
    """A web node that books and shows bookings; nodes share nothing but the secret."""

    async def book(request: Request) -> Response:
        async with await psycopg.AsyncConnection.connect(shop.dsn) as connection:
            guest = request.query_params["guest"]
            await connection.execute("insert into booking (guest) values (%s)", [guest])
            request.state.consistency.note(await commit_async(connection))
        return Response()

    async def show(request: Request) -> Response:
        session = request.state.consistency
        found = await models.search("bookings", of(request.query_params["guest"]), session=session)
        return JSONResponse(len(found.documents))

    return Starlette(
        routes=[Route("/book", book), Route("/show", show)],
        middleware=[Middleware(ConsistencyMiddleware, secret=SECRET)],
    )


@asynccontextmanager
async def site(shop: Shop) -> AsyncIterator[list[httpx.ASGITransport]]:
    """The nodes, each with its own client of daemon and OpenSearch."""
    searches = [AsyncOpenSearch(shop.opensearch_url) for _ in range(NODES)]
    models = [AsyncReadModels(shop.url, search) for search in searches]
    yield [httpx.ASGITransport(node(shop, each)) for each in models]
    for one, search in zip(models, searches, strict=True):
        await one.close()
        await search.close()


class LoadBalancer(httpx.AsyncBaseTransport):
    """Sends each request to any node; to a browser they are one site."""

    def __init__(self, nodes: list[httpx.ASGITransport]) -> None:
        self._nodes = nodes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """What one of them answers."""
        return await random.choice(self._nodes).handle_async_request(request)


def browser(
    nodes: list[httpx.ASGITransport], cookies: dict[str, str] | None = None
) -> httpx.AsyncClient:
    """One visitor."""
    return httpx.AsyncClient(transport=LoadBalancer(nodes), base_url="http://shop", cookies=cookies)


async def shown(visitor: httpx.AsyncClient, guest: str) -> int:
    """How many bookings a page shows."""
    count: int = (await visitor.get("/show", params={"guest": guest})).json()
    return count


def test_the_next_request_reads_what_the_last_one_wrote(shop: Shop, guest: str) -> None:
    """On any node, by one cookie: none has written where it reads, but by chance."""

    async def work() -> list[int]:
        found = []
        async with site(shop) as nodes, browser(nodes) as visitor:
            for number in range(ROUNDS):
                await visitor.get("/book", params={"guest": f"{guest} {number}"})
                found.append(await shown(visitor, f"{guest} {number}"))
        return found

    assert asyncio.run(work()) == [1] * ROUNDS


def test_bookings_side_by_side_are_all_found(shop: Shop, guest: str) -> None:
    """Whatever order the responses come in, the browser keeps the newest position."""

    async def work() -> list[int]:
        async with site(shop) as nodes, browser(nodes) as visitor:
            for _ in range(ROUNDS // 3):
                await asyncio.gather(
                    *(visitor.get("/book", params={"guest": guest}) for _ in range(4))
                )
            return [await shown(visitor, guest)]

    # A search shows ten hits unless it is asked for more.
    assert asyncio.run(work()) == [10]


@pytest.mark.parametrize(
    "cookie",
    [
        "tampered.with",
        Session([Token("7412345678901234567/1", 5)]).to_cookie(SECRET[::-1]),
        Session([Token("7412345678901234567/1", 2**50)]).to_cookie(SECRET),
    ],
    ids=["tampered with", "foreign", "of another database"],
)
def test_a_cookie_that_is_of_no_use_harms_nobody(shop: Shop, guest: str, cookie: str) -> None:
    """The visitor books, and sees the booking."""

    async def work() -> int:
        spoilt = {"cdc_session-01234567": cookie}
        async with site(shop) as nodes, browser(nodes, spoilt) as visitor:
            assert await shown(visitor, guest) == 0
            await visitor.get("/book", params={"guest": guest})
            return await shown(visitor, guest)

    assert asyncio.run(work()) == 1
