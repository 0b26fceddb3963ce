"""What is free in one hotel: read strongly, since a booking's COMMIT has waited for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from deploy.examples.showcase.refusal import RefusedError

if TYPE_CHECKING:
    from deploy.examples.hotel.app.nights import Nights
    from deploy.examples.showcase.reading import Reader, Reading

MOST_ROOMS: Final = 1000
"""As many buckets as a hotel can have rooms here."""


@dataclass(frozen=True, slots=True)
class Room:
    """One room, and whether it is free."""

    id: int
    number: str
    beds: int
    price: float
    taken: bool


class RoomList(NamedTuple):
    """A hotel with its rooms."""

    hotel: dict[str, Any]
    rooms: list[Room]


def rooms(reader: Reader, hotel: int, nights: Nights) -> RoomList:
    """The rooms of a hotel. Raises RefusedError where there is no such hotel."""
    found = reader.read("hotels", {"query": {"term": {"id": hotel}}}, function="hotels")
    if not found.documents:
        raise RefusedError(404, "There is no such hotel.")
    document = found.documents[0]
    booked = _booked(reader, [room["id"] for room in document["rooms"]], nights)
    taken = {bucket["key"] for bucket in booked.aggregations["rooms"]["buckets"]}
    listed = [Room(**room, taken=room["id"] in taken) for room in document["rooms"]]
    return RoomList(document, listed)


def _booked(reader: Reader, numbers: list[int], nights: Nights) -> Reading:
    conditions = [
        {"terms": {"room": numbers}},
        {"range": {"arrival": {"lt": str(nights.departure)}}},
        {"range": {"departure": {"gt": str(nights.arrival)}}},
    ]
    body = {
        "query": {"bool": {"filter": conditions}},
        "size": 0,
        "aggs": {"rooms": {"terms": {"field": "room", "size": MOST_ROOMS}}},
    }
    return reader.read("bookings", body, function="rooms")
