"""The routes of waiting: until searches show what a client has written, by tokens and policies.

Nothing here blocks: thousands of requests wait on the event loop, and the threads that write and
refresh wake those whose position is reached, all of them by one call.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdc_daemon.consistency.waiters import NobodyServesError, TooManyError
from cdc_daemon.consistency.waiting import Waiter, may_be_shown, position_of, reason, unsearched
from cdc_daemon.errors import CdcError, ForeignTokenError, FutureTokenError, TokenError
from cdc_daemon.web.asked import Asking, RefusedError
from cdc_daemon.web.connections import LEAVE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from cdc_daemon.web.asked import Asked
    from cdc_daemon.web.status import Status

LOOK_AFTER_SECONDS: Final = 0.05
"""What hasn't come from the source until then may never: it is asked where its log ends. An
ordinary commit is here long before."""
STATUS_OF: Final[dict[type[CdcError], int]] = {
    ForeignTokenError: 409,
    FutureTokenError: 422,
    TokenError: 400,
    TooManyError: 429,
    NobodyServesError: 503,
}
ELSEWHERE: Final = frozenset({429, 503})
"""Another daemon may serve, or have room."""
REACHED: Final = 200
NOT_REACHED: Final = 504
GONE: Final = 499
"""Who has asked reads no answer any more."""
OUTCOMES: Final = {REACHED: "reached", NOT_REACHED: "timeout", GONE: "gone", 503: "stopping"}


def routes(status: Status) -> list[Route]:
    """`/api/v1/wait` and `/api/v1/policies`."""
    desk = Desk(status)
    return [Route("/api/v1/wait", desk.wait), Route("/api/v1/policies", desk.policies)]


class Desk:
    """Lets requests wait, and answers them. The event loop's thread owns it."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._waiters = status.waiters
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asking = Asking(status.policies, status.projections)

    async def policies(self, _: Request) -> Response:
        """What a client needs to choose by itself."""
        return JSONResponse({"epoch": self._waiters.epoch, **self._status.policies.shown()})

    async def wait(self, request: Request) -> Response:
        """Once searches show it, or it has taken too long."""
        try:
            asked = self._asking.read(request.query_params.multi_items(), time.monotonic())
        except RefusedError as refused:
            return JSONResponse({"error": str(refused)}, refused.status)
        try:
            answer = await self._answer(asked, request)
        except tuple(STATUS_OF) as error:
            answer = self._refusal(error)
        outcome = OUTCOMES.get(answer.status_code, "refused")
        waited = time.monotonic() - asked.began
        self._status.metrics.waited(asked.policy.name, outcome, waited)
        return answer

    async def _answer(self, asked: Asked, request: Request) -> Response:
        """Raises one of `STATUS_OF`."""
        if asked.policy.strategy != "causal":
            return self._unawaited(asked)
        waiter = Waiter(asked.tokens, asked.what)
        if not await self._wait_for(waiter, asked.timeout_seconds, request):
            return Response(status_code=GONE)
        if waiter.refused is not None:
            raise waiter.refused
        if waiter.reached:
            return self._shown(asked, why="")
        projection = asked.what.projection
        return self._shown(asked, reason(self._waiters.pipeline, waiter.position, projection))

    def _unawaited(self, asked: Asked) -> Response:
        """Where nothing is waited for. Raises TokenError or NobodyServesError."""
        self._waiters.read(asked.tokens)  # a mistake, though nobody needs them here
        is_strong = asked.policy.strategy == "strong"
        projection = asked.what.projection
        return self._shown(asked, self._status.why_not_strong(projection) if is_strong else "")

    async def _wait_for(self, waiter: Waiter, timeout_seconds: float, request: Request) -> bool:
        """Until it is woken, or too long; whether whoever asked is still there."""
        woken = waiter.handle = self._future()
        self._waiters.add(waiter)
        if waiter.reached:
            return True
        gone = asyncio.ensure_future(_hung_up(request))
        try:
            first = min(LOOK_AFTER_SECONDS, timeout_seconds)
            if not await _either(woken, gone, first) and timeout_seconds > first:
                self._status.look_for(waiter.position)
                await _either(woken, gone, timeout_seconds - first)
            return woken.done() or not gone.done()
        finally:
            gone.cancel()
            self._waiters.forget(waiter)

    def _future(self) -> asyncio.Future[None]:
        """What a waiter is woken by: all that run on one loop by one call."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._waiters.wake = loop, _waking(loop)
        return loop.create_future()

    def _shown(self, asked: Asked, why: str) -> Response:
        """The answer; `why` it isn't reached, if it isn't so far."""
        projection, policy = asked.what.projection, asked.policy
        staleness = self._status.staleness(projection)
        why = why or _too_stale(staleness, policy.max_staleness_seconds)
        body: dict[str, Any] = {
            "reached": not why,
            "searchable": self._searchable(projection),
            "waited_seconds": round(time.monotonic() - asked.began, 6),
            "staleness_seconds": staleness,
            "epoch": self._waiters.epoch,
            "policy": policy.name or None,
            "strategy": policy.strategy,
        }
        if projection is None and (names := unsearched(self._waiters.pipeline)):
            body["unsearched"] = names
        if why:
            body |= {"why": why, "on_timeout": policy.on_timeout}
        return JSONResponse(body, NOT_REACHED if why else REACHED)

    def _searchable(self, projection: str | None) -> str | None:
        """How far searches are; None while positions don't say that."""
        pipeline = self._waiters.pipeline
        if not may_be_shown(pipeline, projection):
            return None
        return self._status.position(position_of(pipeline, projection))

    def _refusal(self, error: CdcError) -> Response:
        body = {"error": str(error), "epoch": self._waiters.epoch}
        status = STATUS_OF[type(error)]
        return JSONResponse(body, status, LEAVE if status in ELSEWHERE else None)


def _too_stale(staleness: float | None, most: float | None) -> str:
    """Why a read model is too far behind; empty if it isn't."""
    if most is None or (staleness is not None and staleness <= most):
        return ""
    if staleness is None:
        return (
            "nobody knows how far searches are behind the source: it has not been asked yet (that "
            "is done once a second), or the read model is being loaded"
        )
    return f"searches are {staleness:.3f} s behind the source, the policy allows {most:g} s"


def _waking(loop: asyncio.AbstractEventLoop) -> Callable[[Sequence[Waiter]], None]:
    """Wakes those who wait on this loop, from any thread, by one call."""

    def wake(waiters: Sequence[Waiter]) -> None:
        with suppress(RuntimeError):  # the loop is closed: the daemon ends, and nobody waits
            loop.call_soon_threadsafe(_set, waiters)

    return wake


async def _either(one: asyncio.Future[None], other: asyncio.Future[None], seconds: float) -> bool:
    """Whether one of them is done, in time."""
    done, _ = await asyncio.wait((one, other), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)


def _set(waiters: Sequence[Waiter]) -> None:
    for waiter in waiters:
        if not waiter.handle.done():
            waiter.handle.set_result(None)


async def _hung_up(request: Request) -> None:
    """Return once whoever asked has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
