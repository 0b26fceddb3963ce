"""How a part of a page was made, in words for a person. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OFF: Final = "off"
SOURCE: Final = "source"
STALE: Final = "stale"

SYNCHRONOUS: Final = "synchronous"
ASYNCHRONOUS: Final = "asynchronous"

_SENTENCES: Final = {
    "eventual": "Read as it was: what was committed just now may be missing.",
    "causal": "Waited until all that you have written could be found, then read.",
    "strong": "Read as it was: the commands that change it have waited for it themselves.",
    OFF: "The policy is switched off: read as it was, even if you have just written.",
    SOURCE: "The read model wasn't fresh enough, so PostgreSQL itself was asked.",
    STALE: "The read model wasn't fresh enough in time, and is shown as it is.",
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
    """SYNCHRONOUS: it returned when any search could find it; or ASYNCHRONOUS."""
    seconds: float

    def __str__(self) -> str:
        return f"{self.way}:{self.seconds:.4f}"

    @classmethod
    def parse(cls, text: str) -> Committed | None:
        """What `str` has made; None of anything else."""
        way, _, seconds = text.partition(":")
        try:
            return cls(way, float(seconds))
        except ValueError:
            return None


def duration(seconds: float) -> str:
    """A time as people read it: `12 ms`, `4.2 s`."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
