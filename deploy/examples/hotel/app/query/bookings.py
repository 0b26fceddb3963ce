"""Somebody's bookings: causal, so that they find what they have booked, on any web node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from deploy.examples.hotel.app.query.source import bookings_of

if TYPE_CHECKING:
    from deploy.examples.showcase.reading import Reader

SHOWN: Final = 100
UNKNOWN: Final = {"hotel": 0, "label": "A room that isn't there any more", "number": "?"}


def bookings(reader: Reader, guest: str) -> list[dict[str, Any]]:
    """What `guest` has booked, each with the name of its hotel and the number of its room."""
    body = {
        "query": {"term": {"guest.keyword": guest}},
        "sort": ["arrival", "id"],
        "size": SHOWN,
    }
    found = reader.read(
        "bookings", body, function="my-bookings", fallback=lambda source: bookings_of(source, guest)
    )
    nameless = [each for each in found.documents if "label" not in each]
    rooms = _rooms(reader, [each["room"] for each in nameless]) if nameless else {}
    for each in nameless:
        each.update(rooms.get(each["room"], UNKNOWN))
    return found.documents


def _rooms(reader: Reader, booked: list[int]) -> dict[int, dict[str, Any]]:
    """By room, of which hotel it is: two read models are joined here, by the query."""
    body = {
        "query": {"terms": {"id": booked}},
        "size": SHOWN,
        "_source": ["id", "number", "hotel"],
    }
    return {
        room["id"]: {
            "hotel": room["hotel"]["id"],
            "label": f"{room['hotel']['name']}, {room['hotel']['city']}",
            "number": room["number"],
        }
        for room in reader.read("rooms", body, function="rooms").documents
    }
