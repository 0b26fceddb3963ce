"""How a part of a page was made, in words for a person. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

OFF: Final = "off"
SOURCE: Final = "source"
STALE: Final = "stale"

SYNCHRONOUS: Final = "synchronous"
ASYNCHRONOUS: Final = "asynchronous"
UNCONFIRMED: Final = "unconfirmed"

_SECONDS: Final = re.compile(r"[0-9]{1,6}\.[0-9]{4}")
_SENTENCES: Final = {
    "eventual": "Read as it was: what was committed just now may be missing.",
    "causal": "Waited until all that you have written could be found, then read.",
    "strong": "Read as it was: the commands that change it have waited for it themselves.",
    OFF: "The policy is switched off: read as it was, even if you have just written.",
    SOURCE: "The read model wasn't fresh enough, so PostgreSQL itself was asked.",
    STALE: "The read model wasn't fresh enough in time, and is shown as it is.",
}

_COMMITS: Final = {
    SYNCHRONOUS: "It returned when any search could find what you have written.",
    ASYNCHRONOUS: "It waited for no search.",
    UNCONFIRMED: "It stands, but nobody has confirmed in time that searches find it.",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What reading one thing has come to."""

    what: str
    """As people call it: `your bookings`."""
    badge: str
    """The strategy; or OFF, SOURCE or STALE, where something else was done."""
    policy: str | None
    waited_seconds: float
    staleness_seconds: float | None
    """None: nobody can say."""

    @property
    def sentence(self) -> str:
        """What was done."""
        return _SENTENCES[self.badge]

    @property
    def staleness(self) -> str:
        """How old it may be."""
        if self.badge == SOURCE:
            return "nothing"
        if self.staleness_seconds is None:
            return "unknown: the daemon does not say"
        return duration(self.staleness_seconds)


@dataclass(frozen=True, slots=True)
class Committed:
    """What the COMMIT of a command has come to."""

    way: str
    """SYNCHRONOUS, ASYNCHRONOUS or UNCONFIRMED."""
    seconds: float

    @property
    def sentence(self) -> str:
        """What was done."""
        return _COMMITS[self.way]

    def __str__(self) -> str:
        return f"{self.way}:{self.seconds:.4f}"

    @classmethod
    def parse(cls, text: str) -> Committed | None:
        """What `str` has made; None of anything else."""
        way, _, seconds = text.partition(":")
        if way not in _COMMITS or not _SECONDS.fullmatch(seconds):
            return None
        return cls(way, float(seconds))


def duration(seconds: float) -> str:
    """A time as people read it: `12 ms`, `4.2 s`."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
