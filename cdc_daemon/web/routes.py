"""The routes: /livez, /readyz, /metrics, /api/v1/status, waiting, the backfill, posted changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdc_daemon.web import backfill, changes, waiting

if TYPE_CHECKING:
    from pydantic import SecretStr
    from starlette.requests import Request

    from cdc_daemon.posted.posts import Posts
    from cdc_daemon.web.status import Health, Status


def application(status: Status, posts: Posts, api_key: SecretStr | None) -> Starlette:
    """The web application that shows `status`, and lets who has the key change something."""

    def livez(_: Request) -> Response:
        return _health(status.live())

    def readyz(_: Request) -> Response:
        return _health(status.ready())

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(status.metrics.registry), media_type=content_type)

    def show(_: Request) -> Response:
        return JSONResponse(status.show())

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/api/v1/status", show),
            *waiting.routes(status),
            *backfill.routes(status, api_key),
            *changes.routes(posts, status.metrics, api_key),
        ]
    )


def _health(health: Health) -> Response:
    return JSONResponse({"ok": health.ok, "reason": health.reason}, 200 if health.ok else 503)
