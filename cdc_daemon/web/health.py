"""The routes of whoever watches a process: /livez, /readyz and /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client.exposition import choose_encoder
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from starlette.requests import Request

    from cdc_daemon.ports import Health


class Process(Protocol):
    """What is watched."""

    def live(self) -> Health:
        """Whether a restart would help."""

    def ready(self) -> Health:
        """Whether it does its work."""


def routes(process: Process, registry: CollectorRegistry) -> list[Route]:
    """They show `process`, and the metrics of the registry."""

    def livez(_: Request) -> Response:
        return _answer(process.live())

    def readyz(_: Request) -> Response:
        return _answer(process.ready())

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]


def _answer(health: Health) -> Response:
    return JSONResponse({"ok": health.ok, "reason": health.reason}, 200 if health.ok else 503)
