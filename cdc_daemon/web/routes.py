"""The routes: health, metrics, /api/v1/status, waiting, the backfill, and posted changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdc_daemon.web import backfill, changes, health, waiting

if TYPE_CHECKING:
    from pydantic import SecretStr
    from starlette.requests import Request

    from cdc_daemon.posted.posts import Posts
    from cdc_daemon.web.status import Status


def application(status: Status, posts: Posts, api_key: SecretStr | None) -> Starlette:
    """The web application that shows `status`, and lets who has the key change something."""

    def show(_: Request) -> Response:
        return JSONResponse(status.show())

    return Starlette(
        routes=[
            *health.routes(status, status.metrics.registry),
            Route("/api/v1/status", show),
            *waiting.routes(status),
            *backfill.routes(status, api_key),
            *changes.routes(posts, status.metrics, api_key),
        ]
    )
