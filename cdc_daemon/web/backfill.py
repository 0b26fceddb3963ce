"""The routes of the backfill: what is under way, and, with the API key, changing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdc_daemon.backfill.control import ConflictError, Control, UnknownNameError, Wish
from cdc_daemon.backfill.requests import BusyError
from cdc_daemon.errors import ConditionError
from cdc_daemon.web.access import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr
    from starlette.requests import Request

    from cdc_daemon.errors import CdcError
    from cdc_daemon.web.status import Status

STATUS_OF: Final[dict[type[CdcError], int]] = {
    UnknownNameError: 404,
    ConflictError: 409,
    ConditionError: 400,
    BusyError: 503,
}
_EXPECTED: Final = (
    'expected JSON: {"projection": "NAME"} or {"table": "SCHEMA.NAME"}; to start with, '
    '"where": "CONDITION" as well'
)
_NOT_YET: Final = "the daemon is still starting, or stops: ask again when it streams"


class Body(BaseModel):
    """Which rows are meant."""

    model_config = ConfigDict(extra="forbid", strict=True)
    projection: str | None = None
    table: str | None = None
    where: str | None = Field(default=None, min_length=1)


def routes(status: Status, api_key: SecretStr | None) -> list[Route]:
    """`/api/v1/backfill`, and what changes it."""

    def show(_: Request) -> Response:
        return _answer(status, lambda _: None)

    def changing(name: str, change: Callable[[Control, Wish], None]) -> Route:
        async def respond(request: Request) -> Response:
            refused = refusal(request, api_key)
            if refused is not None:
                return refused
            try:
                wish = _wish(await request.body(), name)
            except ValueError as error:
                return _error(400, str(error))
            return await run_in_threadpool(_answer, status, lambda control: change(control, wish))

        return Route(f"/api/v1/backfill/{name}", respond, methods=["POST"])

    return [
        Route("/api/v1/backfill", show),
        changing("start", _start),
        changing("cancel", Control.cancel),
        changing("pause", lambda control, _: control.pause(paused=True)),
        changing("resume", lambda control, _: control.pause(paused=False)),
    ]


def _start(control: Control, wish: Wish) -> None:
    if wish.projection is None and wish.table is None:
        raise UnknownNameError("name the projection or the table whose rows are to be read again")
    control.start(wish)


def _wish(body: bytes, change: str) -> Wish:
    """What the body says. Raises ValueError with what it should be."""
    try:
        read = Body.model_validate(orjson.loads(body or b"{}"))
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise ValueError(_EXPECTED) from error
    if read.projection is not None and read.table is not None:
        raise ValueError("name a projection or a table, not both")
    if read.where is not None and change != "start":
        raise ValueError(f"`where` belongs to start, not to {change}")
    return Wish(read.projection, read.table, read.where or "")


def _answer(status: Status, change: Callable[[Control], Any]) -> Response:
    control = status.control
    if control is None:
        return _error(503, _NOT_YET)
    try:
        change(control)
    except tuple(STATUS_OF) as error:
        return _error(STATUS_OF[type(error)], str(error))
    return JSONResponse(control.show())


def _error(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)
