"""`Writer` and `AsyncWriter`: commit, and post what was written to its read models.

The stream brings the same, and repairs whatever isn't posted, or is posted too late.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import httpx

from cdc_daemon.client import transport
from cdc_daemon.client.commits import commit_versioned, commit_versioned_async
from cdc_daemon.client.daemons import Daemons
from cdc_daemon.client.durations import require_seconds
from cdc_daemon.client.posting import (
    DEFAULT_TIMEOUT_SECONDS,
    NotPostedError,
    post,
    posted,
)
from cdc_daemon.client.steps import Pause, done, done_async

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Connection

    from cdc_daemon.client.changes import Changes
    from cdc_daemon.client.commits import Committed
    from cdc_daemon.client.daemons import Urls
    from cdc_daemon.client.posting import Posted, Posting
    from cdc_daemon.client.steps import Answer, Ask

Wait: TypeAlias = Literal["durable", "searchable"]
OnFailure: TypeAlias = Literal["leave", "raise"]


class _Terms:
    """To whom, how long, and what for."""

    def __init__(
        self, daemons: Urls, key: str, *, wait: Wait, timeout: float, on_failure: OnFailure
    ) -> None:
        require_seconds("a timeout", timeout)
        self._daemons = Daemons(daemons)
        self._key = key
        self._wait = wait
        self._timeout = timeout
        self._raises = on_failure == "raise"

    def steps(self, changes: Changes, committed: Committed) -> Posting:
        """Post them."""
        return post(
            self._daemons,
            lambda seconds: changes.body(
                str(committed.version), str(committed.token), wait=self._wait, timeout=seconds
            ),
            self._key,
            self._timeout,
            time.monotonic,
        )

    def result(self, committed: Committed, answer: Answer) -> Posted:
        """What became of them. Raises NotPostedError where that was asked for."""
        result = posted(committed.token, answer, searchable=self._wait == "searchable")
        if result.is_left and self._raises:
            raise NotPostedError(result)
        return result


class Writer:
    """Posts to the daemons of one pipeline. For any thread; make one for the application.

    `key` is one of the daemon's `web.changes.keys`. `wait` says until when a commit waits,
    `timeout` for how long; `on_failure` whether a post that fails is left to the stream, or raises
    NotPostedError.
    """

    def __init__(
        self,
        daemons: Urls,
        key: str,
        *,
        wait: Wait = "durable",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        on_failure: OnFailure = "leave",
        http: httpx.Client | None = None,
    ) -> None:
        self._terms = _Terms(daemons, key, wait=wait, timeout=timeout, on_failure=on_failure)
        self._http = http or httpx.Client(limits=transport.LIMITS)

    def commit(self, connection: Connection[Any], changes: Changes) -> Posted:
        """Commit, and post what was written: whatever comes of that, it is committed then.

        Raises psycopg's errors and NotCommittedError where it isn't.
        """
        return self.post(changes, commit_versioned(connection))

    def post(self, changes: Changes, committed: Committed) -> Posted:
        """Post what is committed already (`commit_versioned`)."""
        answer = done(self._terms.steps(changes, committed), self._do)
        return self._terms.result(committed, answer)

    def close(self) -> None:
        """Close the connections to the daemons."""
        self._http.close()

    def _do(self, step: Ask | Pause) -> Any:
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        try:
            return transport.answered(self._http.request(**transport.request(step)))
        except httpx.TransportError as error:
            return transport.unanswered(step, error)


class AsyncWriter:
    """`Writer` for asyncio."""

    def __init__(
        self,
        daemons: Urls,
        key: str,
        *,
        wait: Wait = "durable",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        on_failure: OnFailure = "leave",
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._terms = _Terms(daemons, key, wait=wait, timeout=timeout, on_failure=on_failure)
        self._http = http or httpx.AsyncClient(limits=transport.LIMITS)

    async def commit(self, connection: AsyncConnection[Any], changes: Changes) -> Posted:
        """As `Writer.commit`."""
        return await self.post(changes, await commit_versioned_async(connection))

    async def post(self, changes: Changes, committed: Committed) -> Posted:
        """As `Writer.post`."""
        answer = await done_async(self._terms.steps(changes, committed), self._do)
        return self._terms.result(committed, answer)

    async def close(self) -> None:
        """As `Writer.close`."""
        await self._http.aclose()

    async def _do(self, step: Ask | Pause) -> Any:
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        try:
            return transport.answered(await self._http.request(**transport.request(step)))
        except httpx.TransportError as error:
            return transport.unanswered(step, error)
