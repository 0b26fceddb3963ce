"""The rooms of a hotel and which are free: read strongly, since a booking's COMMIT has waited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from deploy.examples.showcase.refusal import RefusedError

if TYPE_CHECKING:
    from deploy.examples.hotel.app.nights import Nights
    from deploy.examples.showcase.reading import Reader

MOST_ROOMS: Final = 1000
"""As many as a hotel can have here."""


@dataclass(frozen=True, slots=True)
class Room:
    """One room, and whether somebody has it on one of the nights."""

    id: int
    number: str
    beds: int
    price: float
    is_taken: bool


class RoomList(NamedTuple):
    """A hotel with its rooms."""

    hotel: dict[str, Any]
    rooms: list[Room]


def rooms(reader: Reader, hotel: int, nights: Nights) -> RoomList:
    """The rooms of a hotel, the cheapest first. Raises RefusedError where there is none."""
    found = reader.read("hotels", {"query": {"term": {"id": hotel}}}, function="hotels").documents
    if not found:
        raise RefusedError(404, "There is no such hotel.")
    body = {
        "query": {"term": {"hotel.id": hotel}},
        "sort": ["price", "number"],
        "size": MOST_ROOMS,
    }
    listed = reader.read("rooms", body, function="rooms").documents
    return RoomList(found[0], [_room(each, nights) for each in listed])


def _room(document: dict[str, Any], nights: Nights) -> Room:
    """Days are text that sorts as they follow each other."""
    is_taken = any(
        each["arrival"] < str(nights.departure) and each["departure"] > str(nights.arrival)
        for each in document["taken"]
    )
    known = {name: document[name] for name in ("id", "number", "beds", "price")}
    return Room(**known, is_taken=is_taken)
