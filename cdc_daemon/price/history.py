"""What clients did: commits that returned and searches that were answered, with their times.

All times are seconds of one monotonic clock. The versions of a key only grow, in the order of its
commits: `version = version + 1` gives them under the lock of the row. What nobody answered isn't
recorded, for it promises nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

NOTHING: Final = 0
"""The version of a key that a search did not find."""


@dataclass(frozen=True, slots=True)
class Write:
    """A COMMIT that returned."""

    client: str
    key: str
    version: int
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Search:
    """A search for one key that was answered."""

    client: str
    key: str
    version: int
    """What it found, or NOTHING."""
    began: float
    """When it was sent, after any wait that its strategy asks for."""
    ended: float
    waited: float = 0.0
    """Seconds that the client had waited before it was sent."""
    promised: float = -math.inf
    """Until when commits had to be found, by what was stated before it was sent."""


@dataclass(slots=True)
class History:
    """What all clients did, in no particular order: their threads only append."""

    writes: list[Write] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
