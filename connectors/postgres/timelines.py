"""The timelines of a server's log: each promotion begins one, where it leaves the one before. Pure.

What lies before the place where a timeline was left is the same on both; what the old one had
beyond it never happened on the new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from connectors.postgres.lsn import parse_lsn

if TYPE_CHECKING:
    from cdc_daemon.events import Position


class Timeline(NamedTuple):
    """One history of one system: `Source.identity` is its text."""

    system: str
    """The system identifier, which all physical copies of a cluster share."""
    number: int

    def __str__(self) -> str:
        return f"{self.system}/{self.number}"


def read_timeline(text: str) -> Timeline:
    """The opposite of `str`."""
    system, _, number = text.rpartition("/")
    return Timeline(system, int(number))


def places_left(history: str) -> dict[int, Position]:
    """Where each earlier timeline was left, by the history file of a later one.

    The file has a line for each ancestor: its number, the position at which the next one began, and
    why. Of what isn't there the later one doesn't descend.
    """
    places: dict[int, Position] = {}
    for line in history.splitlines():
        ancestor, *rest = line.split("#")[0].split(maxsplit=2) or [""]
        if ancestor and rest:
            places.setdefault(int(ancestor), parse_lsn(rest[0]))
    return places
