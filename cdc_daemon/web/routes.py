"""The routes: /livez, /readyz, /metrics, /api/v1/status, those of waiting and of the backfill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdc_daemon.web import backfill, health, waiting

if TYPE_CHECKING:
    from pydantic import SecretStr
    from starlette.requests import Request

    from cdc_daemon.web.status import Status


def application(status: Status, api_key: SecretStr | None) -> Starlette:
    """The web application that shows `status`, and lets who has the key change something."""

    def show(_: Request) -> Response:
        return JSONResponse(status.show())

    return Starlette(
        routes=[
            *health.routes(status, status.metrics.registry),
            Route("/api/v1/status", show),
            *waiting.routes(status),
            *backfill.routes(status, api_key),
        ]
    )
