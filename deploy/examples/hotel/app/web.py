"""The pages of the booking site: which command or query each address stands for.

For servers of your own: `uvicorn --factory deploy.examples.hotel.app.web:application`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.examples.hotel.app.command import booking
from deploy.examples.hotel.app.nights import Nights
from deploy.examples.hotel.app.query.bookings import bookings
from deploy.examples.hotel.app.query.hotels import Wish, find
from deploy.examples.hotel.app.query.rooms import rooms
from deploy.examples.showcase.refusal import RefusedError, whole_number
from deploy.examples.showcase.site import Site, name_of, sign_in

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.responses import Response

    from deploy.examples.showcase.visit import Visit


def application() -> Starlette:
    """A web node, by its environment."""
    site = Site("hotel", "Linden Bookings", Path(__file__).with_name("templates"))
    return site.application(
        [
            site.get("/", _search),
            site.get("/hotels/{hotel}", _hotel),
            site.get("/bookings", _bookings),
            site.post("/bookings", _book),
            site.post("/bookings/{booking}/cancel", _cancel),
            site.post("/sign-in", _sign_in),
        ]
    )


def _search(visit: Visit) -> Response:
    wish = Wish.of(visit.fields)
    hotels = find(visit.reader, wish).documents
    return visit.show("search.html", page="search", wish=wish, nights=_nights(visit), hotels=hotels)


def _hotel(visit: Visit) -> Response:
    nights = _nights(visit)
    hotel, listed = rooms(visit.reader, visit.number("hotel"), nights)
    return visit.show("hotel.html", page="search", hotel=hotel, rooms=listed, nights=nights)


def _bookings(visit: Visit) -> Response:
    name = visit.person.name
    found = bookings(visit.reader, name) if name else []
    return visit.show("bookings.html", page="bookings", bookings=found)


def _book(visit: Visit) -> Response:
    room, nights = whole_number(visit.fields.get("room", "")), _nights(visit)
    # All guests look at the list of rooms, so it is the booking that waits, not each of them.
    with visit.command(strongly=True) as command:
        booking.book(command.connection, _guest(visit), room, nights)
    return visit.go("/bookings", command.committed)


def _cancel(visit: Visit) -> Response:
    # A free room that shows as taken for a moment harms nobody: only its guest waits, to see it.
    with visit.command() as command:
        booking.cancel(command.connection, _guest(visit), visit.number("booking"))
    return visit.go("/bookings", command.committed)


def _sign_in(visit: Visit) -> Response:
    return sign_in(visit, replace(visit.person, name=name_of(visit)))


def _guest(visit: Visit) -> str:
    if not visit.person.name:
        raise RefusedError(403, "Sign in first: a booking is somebody's.")
    return visit.person.name


def _nights(visit: Visit) -> Nights:
    return Nights.of(visit.fields, datetime.now(UTC).date())
