"""One request of a person: who it is, what they sent, and the page or redirect they get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from deploy.examples.showcase.committing import commanding
from deploy.examples.showcase.person import Person
from deploy.examples.showcase.reading import Reader
from deploy.examples.showcase.receipt import Committed
from deploy.examples.showcase.refusal import whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from starlette.requests import Request

    from cdc_daemon.client import Session
    from deploy.examples.showcase.committing import Command
    from deploy.examples.showcase.site import Site

SEE_OTHER: Final = 303
"""After a POST: reloading the page that follows repeats nothing."""


class Visit:
    """What a page or a command is given, and gives back."""

    def __init__(self, site: Site, request: Request, form: Mapping[str, str]) -> None:
        self.site = site
        self.request = request
        self.fields: Mapping[str, str] = form or request.query_params
        """What was typed or chosen."""
        self.person = Person.of(request.cookies, site.name)
        self.session: Session = request.state.consistency
        self.reader = Reader(site.models, self.session, self.person, site.settings.database_url)

    @property
    def here(self) -> str:
        """The address, without the node."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    @property
    def before(self) -> str:
        """The address of the page that led here; the first one where the browser doesn't say."""
        url = urlsplit(self.request.headers.get("referer", ""))
        return _on_this_node(f"{url.path}?{url.query}" if url.query else url.path)

    def number(self, name: str) -> int:
        """The part of the address that is called so in its route. Raises RefusedError."""
        return whole_number(self.request.path_params[name])

    def command(self, *, strongly: bool = False) -> AbstractContextManager[Command]:
        """A transaction of the command store, committed at the end of the context.

        `strongly`: its COMMIT waits for searches, unless the person has switched policies off.
        """
        strongly = strongly and self.person.waits
        return commanding(self.site.settings.database_url, self.session, strongly=strongly)

    def show(self, template: str, *, status: int = 200, **content: Any) -> Response:
        """The page, with what it was made from."""
        kept = f"{self.site.name}_committed"
        context = {
            "person": self.person,
            "here": self.here if self.request.method == "GET" else "/",
            "receipts": self.reader.receipts,
            "committed": Committed.parse(self.request.cookies.get(kept, "")),
            **content,
        }
        response = self.site.templates.TemplateResponse(self.request, template, context, status)
        if kept in self.request.cookies:  # the next page isn't the one that follows the command
            response.delete_cookie(kept)
        return response

    def go(self, path: str, committed: Committed | None = None) -> Response:
        """Send the browser to another page of this node; it says what the command has come to."""
        response = RedirectResponse(_on_this_node(path), SEE_OTHER)
        if committed is not None:
            response.set_cookie(f"{self.site.name}_committed", str(committed), httponly=True)
        return response


def _on_this_node(path: str) -> str:
    """The path, or the first page where it would lead to somebody else's site."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
