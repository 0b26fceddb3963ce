"""Booking a room, and cancelling: what is free is decided by the transaction itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from deploy.examples.showcase.refusal import RefusedError

if TYPE_CHECKING:
    import psycopg

    from deploy.examples.hotel.app.nights import Nights

LOCK: Final = "select price from room where id = %s for update"
"""Whoever books the same room waits here until this transaction has ended."""
TAKEN: Final = """
select exists (
  select from booking
  where room_id = %s and arrival < %s and arrival + nights > %s
)
"""
BOOK: Final = """
insert into booking (room_id, guest, arrival, nights, price, channel)
values (%s, %s, %s, %s, %s, 'web')
"""
CANCEL: Final = "delete from booking where id = %s and guest = %s"


def book(connection: psycopg.Connection[Any], guest: str, room: int, nights: Nights) -> None:
    """Book, in the open transaction; committing is up to the caller.

    Raises RefusedError where somebody else has one of the nights, whatever any page has shown.
    """
    found = connection.execute(LOCK, [room]).fetchone()
    if found is None:
        raise RefusedError(404, "There is no such room any more.")
    # A statement of its own: it sees what those have committed who held the lock before.
    taken = connection.execute(TAKEN, [room, nights.departure, nights.arrival]).fetchone()
    if taken and taken[0]:
        raise RefusedError(
            409,
            "Somebody else has this room for one of these nights: the command store has just "
            "decided so, whatever a page may still show.",
        )
    price = found[0] * nights.count
    connection.execute(BOOK, [room, guest, nights.arrival, nights.count, price])


def cancel(connection: psycopg.Connection[Any], guest: str, booking: int) -> None:
    """Cancel what belongs to `guest`. Raises RefusedError where there is no such booking."""
    if connection.execute(CANCEL, [booking, guest]).rowcount == 0:
        raise RefusedError(404, "You have no such booking: it may have been cancelled already.")
