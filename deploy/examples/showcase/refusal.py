"""A request that can't be met: the status of the answer, and a sentence for the person."""

from __future__ import annotations

from typing import Final

MOST: Final = 2**31 - 1
"""Keys are PostgreSQL's integers; those of bookings are wider, but not that many will be made."""


class RefusedError(Exception):
    """Said to the person on a page of its own."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def whole_number(text: str) -> int:
    """A number that came with a request. Raises RefusedError."""
    if text.isascii() and text.isdigit() and int(text[:11]) <= MOST:
        return int(text[:11])
    raise RefusedError(400, "A number was expected. Go back, and choose again.")
