"""When readers of committed messages see a transaction that has ended: a moment later.

It has ended once its coordinator has noted so: that much stays. The mark that shows it comes after
that in each partition, and until then readers stop in front of it. Nothing else can be written as
long: the brokers let a transaction begin when the one before has all of its marks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RetryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connectors.kafka.topics import Place, Topics

SLICE_SECONDS: Final = 0.5
"""How long one question may take, until the source hears from us again."""
AWAY_SECONDS: Final = 10.0
"""Brokers that answer none for so long: the relay is opened again, and finds what has ended."""
FIRST_PAUSE_SECONDS: Final = 0.001
"""Each is twice the one before: mostly the mark is there by then."""
LONGEST_PAUSE_SECONDS: Final = 0.05


def wait_until_seen(topics: Topics, places: Sequence[Place], meanwhile: Callable[[], None]) -> None:
    """Return once readers see all that is in these partitions by now; `meanwhile` while it waits.

    Raises RetryError where nobody says so.
    """
    written = _answered(lambda: topics.ends(places, seen=False, seconds=SLICE_SECONDS), meanwhile)
    pause_seconds = FIRST_PAUSE_SECONDS
    while hidden := _hidden(topics, written, meanwhile):
        written = hidden
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
        meanwhile()


def _hidden(
    topics: Topics, written: Mapping[Place, int], meanwhile: Callable[[], None]
) -> dict[Place, int]:
    """Those of which readers don't see all that was written."""
    seen = _answered(lambda: topics.ends([*written], seconds=SLICE_SECONDS), meanwhile)
    return {place: end for place, end in written.items() if seen[place] < end}


def _answered(
    ask: Callable[[], dict[Place, int]], meanwhile: Callable[[], None]
) -> dict[Place, int]:
    until = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return ask()
        except RetryError:
            if time.monotonic() > until:
                raise
        time.sleep(LONGEST_PAUSE_SECONDS)
        meanwhile()
