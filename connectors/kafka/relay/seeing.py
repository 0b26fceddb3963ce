"""When readers of committed messages see a transaction that has ended: a moment later.

It has ended once its coordinator has noted so: that much stays. The mark that shows it comes after
that in each partition, and until then readers stop in front of it. Nothing else can be written as
long: the brokers let a transaction begin when the one before has all of its marks. What a
partition loses meanwhile (its leader was replaced by a copy that was behind) nobody will ever see:
that isn't waited for, and who looks at the `tails` next finds it lacking.
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
LONGEST_SLICE_SECONDS: Final = 2.0
"""Each that fails is asked for twice as long, by a new client, which has to connect first: with TLS
and SASL to brokers that are 100 ms away that takes longer than half a second, each time anew."""
AWAY_SECONDS: Final = 10.0
"""Brokers that answer none for so long: the relay is opened again, and finds what has ended."""
FIRST_PAUSE_SECONDS: Final = 0.001
"""Each is twice the one before: mostly the mark is there by then."""
LONGEST_PAUSE_SECONDS: Final = 0.05


def wait_until_seen(topics: Topics, places: Sequence[Place], meanwhile: Callable[[], None]) -> None:
    """Return once readers see all that is in these partitions by now; `meanwhile` while it waits.

    Raises RetryError where nobody says so.
    """
    hidden = _ends(topics, places, meanwhile, seen=False)
    pause_seconds = FIRST_PAUSE_SECONDS
    while hidden := _beyond(_ends(topics, [*hidden], meanwhile, seen=True), hidden):
        time.sleep(pause_seconds)
        meanwhile()
        if pause_seconds == LONGEST_PAUSE_SECONDS:  # marks are rarely so late: is it still there?
            there = _ends(topics, [*hidden], meanwhile, seen=False)
            hidden = {place: min(end, there[place]) for place, end in hidden.items()}
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


def _beyond(seen: Mapping[Place, int], written: Mapping[Place, int]) -> dict[Place, int]:
    """Those of which readers don't see all that was written."""
    return {place: end for place, end in written.items() if seen[place] < end}


def _ends(
    topics: Topics, places: Sequence[Place], meanwhile: Callable[[], None], *, seen: bool
) -> dict[Place, int]:
    """As the brokers have them, who may be away for a while."""
    until, seconds = time.monotonic() + AWAY_SECONDS, SLICE_SECONDS
    while True:
        try:
            return topics.ends(places, seen=seen, seconds=seconds)
        except RetryError:
            if time.monotonic() > until:
                raise
        seconds = min(2 * seconds, LONGEST_SLICE_SECONDS)
        time.sleep(LONGEST_PAUSE_SECONDS)
        meanwhile()
