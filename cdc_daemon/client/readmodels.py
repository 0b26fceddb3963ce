"""`ReadModels` and `AsyncReadModels`: what an application waits and searches with."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from cdc_daemon.client import transport
from cdc_daemon.client.daemons import Pipelines
from cdc_daemon.client.errors import ClientError
from cdc_daemon.client.searching import Read, Reader
from cdc_daemon.client.steps import Ask, Fallback, Pause, Query, done, done_async

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self, Unpack

    from cdc_daemon.client.daemons import Urls
    from cdc_daemon.client.outcome import Outcome, SearchResult
    from cdc_daemon.client.policies import Policies
    from cdc_daemon.client.searching import Asked
    from cdc_daemon.client.steps import Answer, Step
    from cdc_daemon.client.tokens import Token


class Searches(Protocol):
    """What is used of opensearch-py's clients, OpenSearch and AsyncOpenSearch."""

    def search(self, *, index: Any, body: Any, **parameters: Any) -> Any:
        """The answer, or an awaitable of it."""


class ReadModels:
    """Waits at the daemons, and searches. For any thread; make one for the application.

    `daemons` is an address, several of one pipeline, or either of them by projection. `policies`
    are asked of the daemon unless they are given. `http` brings TLS or authentication of its own.
    """

    def __init__(
        self,
        daemons: Urls | Mapping[str, Urls],
        opensearch: Searches | None = None,
        *,
        policies: Policies | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._reader = Reader(Pipelines(daemons, policies), time.monotonic)
        self._opensearch = opensearch
        self._http = http or httpx.Client(limits=transport.LIMITS)

    def wait(
        self,
        token: Token | str | None = None,
        projection: str | None = None,
        **asked: Unpack[Asked],
    ) -> Outcome:
        """Until the read model shows the commit (without one: all of them), or time is up."""
        return done(self._reader.wait(Read.of(token, projection, asked)), self._do)

    def search(
        self,
        projection: str,
        body: Mapping[str, Any],
        token: Token | str | None = None,
        *,
        fallback: Callable[[], Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        **asked: Unpack[Asked],
    ) -> SearchResult:
        """Wait as the policy asks, and search; on a timeout do as the policy says.

        `fallback` queries the source; `parameters` are further ones of OpenSearch's search.
        Raises StaleReadError.
        """
        query = Query(projection, body, parameters or {})
        steps = self._reader.search(Read.of(token, projection, asked), query, fallback)
        return done(steps, self._do)

    def close(self) -> None:
        """Close the connections to the daemons; OpenSearch's client is the caller's."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, step: Step) -> Any:
        if isinstance(step, Ask):
            return self._ask(step)
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        if isinstance(step, Fallback):
            return step.ask()
        search = _searching(self._opensearch)
        return search(index=step.read_model, body=step.body, **step.parameters)

    def _ask(self, question: Ask) -> Answer:
        try:
            return transport.answered(self._http.request(**transport.request(question)))
        except httpx.TransportError as error:
            return transport.unanswered(question, error)


class AsyncReadModels:
    """`ReadModels` for asyncio, with AsyncOpenSearch; fallbacks may be coroutine functions."""

    def __init__(
        self,
        daemons: Urls | Mapping[str, Urls],
        opensearch: Searches | None = None,
        *,
        policies: Policies | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._reader = Reader(Pipelines(daemons, policies), time.monotonic)
        self._opensearch = opensearch
        self._http = http or httpx.AsyncClient(limits=transport.LIMITS)

    async def wait(
        self,
        token: Token | str | None = None,
        projection: str | None = None,
        **asked: Unpack[Asked],
    ) -> Outcome:
        """As `ReadModels.wait`."""
        return await done_async(self._reader.wait(Read.of(token, projection, asked)), self._do)

    async def search(
        self,
        projection: str,
        body: Mapping[str, Any],
        token: Token | str | None = None,
        *,
        fallback: Callable[[], Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        **asked: Unpack[Asked],
    ) -> SearchResult:
        """As `ReadModels.search`."""
        query = Query(projection, body, parameters or {})
        steps = self._reader.search(Read.of(token, projection, asked), query, fallback)
        return await done_async(steps, self._do)

    async def close(self) -> None:
        """As `ReadModels.close`."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Ask):
            return await self._ask(step)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, Fallback):
            return await _awaited(step.ask())
        search = _searching(self._opensearch)
        return await _awaited(search(index=step.read_model, body=step.body, **step.parameters))

    async def _ask(self, question: Ask) -> Answer:
        try:
            return transport.answered(await self._http.request(**transport.request(question)))
        except httpx.TransportError as error:
            return transport.unanswered(question, error)


def _searching(opensearch: Searches | None) -> Callable[..., Any]:
    if opensearch is None:
        raise ClientError("no OpenSearch client was given, so there is no search, only wait()")
    return opensearch.search


async def _awaited(came: Any) -> Any:
    """What a coroutine gives; a plain function has given it already."""
    return await came if inspect.isawaitable(came) else came
