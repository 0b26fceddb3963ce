"""The pages of the social network: which command or query each address stands for.

For servers of your own: `uvicorn --factory deploy.examples.social.app.web:application`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.examples.showcase.refusal import RefusedError
from deploy.examples.showcase.site import Site, name_of, sign_in
from deploy.examples.social.app.command import accounts, follows
from deploy.examples.social.app.command import posts as posting
from deploy.examples.social.app.influence import INFLUENCER_FOLLOWERS
from deploy.examples.social.app.query.people import account, most_followed
from deploy.examples.social.app.query.posts import posts
from deploy.examples.social.app.query.timeline import timeline
from deploy.examples.social.app.query.trends import NEWEST, trends

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.responses import Response

    from deploy.examples.showcase.visit import Visit


def application() -> Starlette:
    """A web node, by its environment."""
    site = Site("social", "Birdsong", Path(__file__).with_name("templates"))
    return site.application(
        [
            site.get("/", _timeline),
            site.get("/people", _people),
            site.get("/people/{handle}", _account),
            site.get("/trends", _trends),
            site.post("/posts", _post),
            site.post("/follows", _follow),
            site.post("/sign-in", _sign_in),
        ]
    )


def _timeline(visit: Visit) -> Response:
    name = visit.person.name
    found = timeline(visit.reader, name) if name else []
    return visit.show("timeline.html", page="timeline", posts=found)


def _account(visit: Visit) -> Response:
    handle = visit.request.path_params["handle"]
    found, numbers = posts(visit.reader, handle), account(visit.reader, handle)
    page = "own" if handle == visit.person.name else "people"
    return visit.show("account.html", page=page, handle=handle, account=numbers, posts=found)


def _people(visit: Visit) -> Response:
    found = most_followed(visit.reader)
    return visit.show(
        "people.html", page="people", accounts=found, influencer_followers=INFLUENCER_FOLLOWERS
    )


def _trends(visit: Visit) -> Response:
    return visit.show("trends.html", page="trends", trends=trends(visit.reader), newest=NEWEST)


def _post(visit: Visit) -> Response:
    handle = _handle(visit)
    with visit.command() as command:
        posting.post(command.connection, handle, visit.fields.get("body", "").strip())
    return visit.go(f"/people/{handle}", command.committed)


def _follow(visit: Visit) -> Response:
    handle, other = _handle(visit), visit.fields.get("handle", "")
    change = follows.unfollow if visit.fields.get("what") == "unfollow" else follows.follow
    with visit.command() as command:
        change(command.connection, handle, other)
        user_class = accounts.user_class(command.connection, handle)
    response = visit.go("/", command.committed)
    replace(visit.person, user_class=user_class).remember(response, visit.site.name)
    return response


def _sign_in(visit: Visit) -> Response:
    handle = name_of(visit).lower()
    with visit.command() as command:
        accounts.arrive(command.connection, handle)
        user_class = accounts.user_class(command.connection, handle)
    return sign_in(visit, replace(visit.person, name=handle, user_class=user_class))


def _handle(visit: Visit) -> str:
    if not visit.person.name:
        raise RefusedError(403, "Sign in first.")
    return visit.person.name
