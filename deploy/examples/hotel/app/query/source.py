"""The same from the source, where a policy says `on_timeout: source`: right, and dearer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row

if TYPE_CHECKING:
    import psycopg

BOOKINGS: Final = """
select
  booking.id, room_id as room, arrival::text, (arrival + nights)::text as departure, nights,
  booking.price::float8 as price, hotel.id as hotel, hotel.name || ', ' || city.name as label,
  room.number
from booking
join room on room.id = room_id
join hotel on hotel.id = hotel_id
join city on city.id = city_id
where guest = %s and booking.status <> 'held'
order by arrival, booking.id
limit 100
"""


def bookings_of(source: psycopg.Connection[Any], guest: str) -> list[dict[str, Any]]:
    """What `guest` has booked, as the read model and its join would have it."""
    with source.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(BOOKINGS, [guest]).fetchall()
