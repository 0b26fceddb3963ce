"""A daemon that takes few documents for many, so that small worlds have wide changes as well."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cdc_daemon.assembly import Bounds, JoinedProjections
from cdc_daemon.joining import joiner

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SHARE = 1 / 3
"""Of the worlds."""


def random_bounds(rng: Random) -> Bounds | None:
    """Low ones; None where they are to be the ordinary ones."""
    if rng.random() >= SHARE:
        return None
    change, piece = rng.randint(2, 5), rng.randint(2, 5)
    return Bounds(change, rng.choice((3, 2_000)), piece, rng.choice((4, 20_000)))


def bounded_by(bounds: Bounds) -> Callable[[], None]:
    """What `RunningDaemon.start` takes."""
    return partial(_bound, bounds)


def _bound(bounds: Bounds) -> None:
    assert vars(joiner)["JoinedProjections"] is JoinedProjections, "it has another name there"
    vars(joiner)["JoinedProjections"] = partial(JoinedProjections, bounds=bounds)
