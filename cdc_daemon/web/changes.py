"""The route by which applications post changes: who may, how many, and what is answered."""

from __future__ import annotations

import asyncio
import hashlib
import time
from math import ceil
from typing import TYPE_CHECKING, Any, Final

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdc_daemon.errors import ForeignTokenError, TokenError
from cdc_daemon.log import Seldom
from cdc_daemon.posted.answers import Answers, OtherRequestError
from cdc_daemon.posted.body import MistakesError
from cdc_daemon.posted.outcome import Done, NotServingError, TooManyPostsError
from cdc_daemon.posted.rates import Rates
from cdc_daemon.web.access import NO_KEY, WRONG_KEY, brought, who
from cdc_daemon.web.connections import LEAVE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from pydantic import SecretStr
    from starlette.requests import Request

    from cdc_daemon.metrics import Metrics
    from cdc_daemon.posted.body import Post
    from cdc_daemon.posted.outcome import Taker
    from cdc_daemon.posted.posts import Posts

log = structlog.get_logger(__name__)

OWNER: Final = "web.api_key"
"""The name of who has the key for everything."""
RETRY_AFTER_SECONDS: Final = 1
"""A start in place takes about as long."""
GRACE_SECONDS: Final = 1.0
"""After its time is up: whoever writes may be amid a request to the sink, and knows more then."""
DISCARDED: Final = 4
"""How many times the largest body is read to the end."""
NOT_TAKEN: Final = (
    "this daemon takes no changes over HTTP: set web.changes, and a key in web.changes.keys or "
    "web.api_key, and restart it"
)
WRITTEN: Final = 200
NOT_IN_TIME: Final = 504
STATUS_OF: Final[dict[type[Exception], int]] = {
    ForeignTokenError: 409,
    TokenError: 422,
    TooManyPostsError: 429,
    NotServingError: 503,
    MistakesError: 422,
    OtherRequestError: 409,
}
REFUSED_AS: Final = {
    400: "body",
    401: "key",
    403: "key",
    409: "history",
    413: "size",
    422: "mistakes",
    429: "busy",
    503: "not_serving",
}
_LATER: Final = frozenset({429, 503})
_OTHER: Final = (
    "this idempotency key came with another request before: each request has a key of its own"
)


def routes(posts: Posts, metrics: Metrics, api_key: SecretStr | None) -> list[Route]:
    """`/api/v1/changes`."""
    return [Route("/api/v1/changes", ChangesDesk(posts, metrics, api_key).post, methods=["POST"])]


class ChangesDesk:
    """Answers who posts changes. The event loop's thread owns it."""

    def __init__(self, posts: Posts, metrics: Metrics, api_key: SecretStr | None) -> None:
        self._posts = posts
        self._metrics = metrics
        terms = posts.terms
        self._keys: Mapping[str, SecretStr] = {} if terms is None else terms.keys
        if terms is not None and api_key is not None:
            self._keys = {OWNER: api_key, **self._keys}
        self._rates = Rates(None if terms is None else terms.requests_per_second)
        self._answers: Answers[asyncio.Task[Response]] = Answers()
        self._said = Seldom()

    async def post(self, request: Request) -> Response:
        """Take what is posted."""
        began = time.monotonic()
        answer = await self._answer(request, began)
        outcome = "taken" if answer.status_code == WRITTEN else "late"
        if answer.status_code not in {WRITTEN, NOT_IN_TIME}:
            outcome = REFUSED_AS.get(answer.status_code, "failed")
            if self._said.noted(outcome):
                log.warning("post_refused", why=outcome, status=answer.status_code)
        self._metrics.posted(outcome, time.monotonic() - began)
        return answer

    async def _answer(self, request: Request, began: float) -> Response:
        terms = self._posts.terms
        if terms is None or not self._keys:
            return _refusal(403, NOT_TAKEN if terms is None else NO_KEY)
        name = who(brought(request), self._keys)
        if name is None:
            return _refusal(401, WRONG_KEY, headers={"www-authenticate": "Bearer"})
        if wait := self._rates.wait_seconds(name, began):
            said = f"more than web.changes.requests_per_second of key {name}"
            return _refusal(429, said, headers={"retry-after": str(ceil(wait))})
        body = await _body(request, terms.max_body)
        if body is None:
            most = f"the body has more than {terms.max_body} bytes (web.changes.max_body)"
            return _refusal(413, f"{most}: send the changes in several requests")
        try:
            return await self._once(name, body, began)
        except tuple(STATUS_OF) as error:
            return _refused(error)

    async def _once(self, name: str, body: bytes, began: float) -> Response:
        """The answer; who brings the key of a request that was done gets what that got."""
        taker = self._posts.taker
        post = await run_in_threadpool(taker.bodies.read, body)
        if post.idempotency_key is None:
            return await self._do(taker, post, began)
        key, digest = (name, post.idempotency_key), hashlib.sha256(body).digest()
        task = self._answers.find(key, digest, began)
        if task is None:
            task = asyncio.ensure_future(self._do(taker, post, began))
            self._answers.keep(key, digest, task, began)
        try:
            answer = await asyncio.shield(task)  # whoever has begun it may hang up
        except BaseException:
            if task.done():
                self._answers.forget(key)
            raise
        if answer.status_code != WRITTEN:
            self._answers.forget(key)
        return answer

    async def _do(self, taker: Taker, post: Post, began: float) -> Response:
        deadline = began + post.timeout_seconds
        future = await run_in_threadpool(taker.take, post, deadline)
        done = await _awaited(future, taker, deadline) or _unknown(post, taker)
        self._metrics.posted_transactions([one["outcome"] for one in done.transactions])
        shown: dict[str, Any] = {
            "transactions": done.transactions,
            "epoch": taker.epoch,
            "waited_seconds": round(time.monotonic() - began, 6),
            **done.told,
        }
        return JSONResponse(shown, WRITTEN if done.in_time else NOT_IN_TIME)


async def _awaited(future: Future[Done], taker: Taker, deadline: float) -> Done | None:
    """What it has come to, or None if nobody says so in time. It is done, whoever hangs up."""
    left = max(deadline + GRACE_SECONDS - time.monotonic(), 0.0)
    await asyncio.wait((asyncio.wrap_future(future),), timeout=left)
    if not future.done():
        await run_in_threadpool(taker.look)  # nothing moves: nobody else tells those who are late
    return future.result() if future.done() else None


def _unknown(post: Post, taker: Taker) -> Done:
    """What is answered then: it may come to something yet."""
    return Done([{"outcome": taker.unknown} for _ in post.transactions], in_time=False, told={})


async def _body(request: Request, most: int) -> bytes | None:
    """None where it is larger: what comes then is thrown away, as far as that is worth it.

    Who still sends would see the connection break, and not the answer.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= most:
            parts.append(part)
        elif size > DISCARDED * most:
            break
    return b"".join(parts) if size <= most else None


def _refused(error: Exception) -> Response:
    status = next(status for kind, status in STATUS_OF.items() if isinstance(error, kind))
    if isinstance(error, OtherRequestError):
        return _refusal(status, _OTHER)
    more: dict[str, Any] = {}
    if isinstance(error, MistakesError):
        more["mistakes"] = [mistake._asdict() for mistake in error.mistakes]
    later = {"retry-after": str(RETRY_AFTER_SECONDS), **LEAVE}
    headers = later if status in _LATER else None
    return _refusal(status, str(error), more, headers)


def _refusal(
    status: int,
    why: str,
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return JSONResponse({"error": why, **(more or {})}, status, headers)
