"""A web node of an application: its routes, signing in, the switch, and what it says of errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import parse_qsl

import psycopg
from opensearchpy import OpenSearch
from opensearchpy.exceptions import OpenSearchException
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from cdc_daemon.client import ClientError, NotReplicatedError, ReadModels
from cdc_daemon.client.starlette import ConsistencyMiddleware
from deploy.examples.showcase.person import LONGEST_NAME, Person
from deploy.examples.showcase.receipt import duration
from deploy.examples.showcase.refusal import RefusedError
from deploy.examples.showcase.settings import Settings
from deploy.examples.showcase.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

Handler: TypeAlias = Callable[[Visit], Response]

TEMPLATES: Final = Path(__file__).with_name("templates")
ERRORS: Final[dict[type[Exception], str]] = {
    psycopg.OperationalError: "PostgreSQL doesn't answer, or has broken off. Try again.",
    OpenSearchException: "OpenSearch doesn't answer as it should. Try again.",
    NotReplicatedError: "The COMMIT can't be made to wait for searches: {error}.",
    ClientError: "The read model can't be had as fresh as the policy wants it: {error}.",
}


class Site:
    """What the requests of a web node share."""

    def __init__(self, name: str, title: str, templates: Path) -> None:
        self.name = name
        """Of the application: its cookies begin with it, since all ports get each other's."""
        self.settings = Settings.from_environment()
        search = OpenSearch([self.settings.opensearch_url])
        self.models = ReadModels(self.settings.daemon_url, opensearch=search)
        self.templates = Jinja2Templates([templates, TEMPLATES])
        shown = {"site": title, "settings": self.settings, "layout": f"{name}_base.html"}
        self.templates.env.globals.update(shown)
        self.templates.env.filters.update(
            duration=duration, money="€\N{NO-BREAK SPACE}{:,.2f}".format
        )

    def get(self, path: str, handler: Handler) -> Route:
        """A page."""
        return self._route(path, handler, "GET")

    def post(self, path: str, handler: Handler) -> Route:
        """A command."""
        return self._route(path, handler, "POST")

    def application(self, routes: Sequence[Route]) -> Starlette:
        """These routes and those that every application has."""
        style = FileResponse(TEMPLATES / "style.css")
        common = [
            self.post("/sign-out", _sign_out),
            self.post("/switch", _switch),
            Route("/style.css", lambda _: style),
        ]
        cookies = Middleware(
            ConsistencyMiddleware, secret=self.settings.secret, cookie=f"{self.name}_consistency"
        )
        return Starlette(routes=[*routes, *common], middleware=[cookies])

    def _route(self, path: str, handler: Handler, method: str) -> Route:
        async def respond(request: Request) -> Response:
            sent = (await request.body()).decode(errors="replace")
            visit = Visit(self, request, dict(parse_qsl(sent.replace("%00", ""))))
            return await run_in_threadpool(_answer, visit, handler)

        return Route(path, respond, methods=[method])


def sign_in(visit: Visit, person: Person) -> Response:
    """Remember who is in front of the browser, and go back to where they were."""
    response = visit.go(visit.fields.get("back", "/"))
    person.remember(response, visit.site.name)
    return response


def name_of(visit: Visit) -> str:
    """The name that somebody has given. Raises RefusedError."""
    name = visit.fields.get("name", "").strip()
    if not 0 < len(name) <= LONGEST_NAME:
        raise RefusedError(400, f"Say a name of up to {LONGEST_NAME} letters.")
    return name


def _sign_out(visit: Visit) -> Response:
    return sign_in(visit, Person(waits=visit.person.waits))


def _switch(visit: Visit) -> Response:
    return sign_in(visit, replace(visit.person, waits=visit.fields.get("policies") == "on"))


def _answer(visit: Visit, handler: Handler) -> Response:
    try:
        return handler(visit)
    except RefusedError as refusal:
        return _message(visit, "That is not possible", str(refusal), refusal.status)
    except tuple(ERRORS) as error:
        reason = next(text for kind, text in ERRORS.items() if isinstance(error, kind))
        return _message(visit, "Not now", reason.format(error=error), 503)


def _message(visit: Visit, heading: str, reason: str, status: int) -> Response:
    return visit.show(
        "message.html", status=status, heading=heading, reason=reason, before=visit.before
    )
