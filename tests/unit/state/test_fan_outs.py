"""Fan-outs as they are kept: how old the oldest is, whatever became of the others."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.events import Position
from tests.generators.states import new_store

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.state import Batch

PROJECTIONS = (7, 8)
WAYS = (b"way to a", b"way to b")


def _one_step(batch: Batch, rng: Random, at: Position) -> None:
    projection = rng.choice(PROJECTIONS)
    open_ = list(batch.fan_outs.of(projection))
    if open_ and rng.random() < 0.5:
        begin = rng.choice([b"", b"", b"entry"])
        batch.fan_outs.went_on(projection, rng.choice(open_), begin)
    else:
        batch.fan_outs.open(projection, rng.choice(WAYS), b"%d" % rng.randrange(3), at)


def _oldest(batch: Batch) -> list[tuple[Position | None, Position | None]]:
    """What is said of each projection, and what it is."""
    said = [batch.fan_outs.oldest(projection) for projection in PROJECTIONS]
    open_ = [batch.fan_outs.of(projection) for projection in PROJECTIONS]
    return list(
        zip(said, [min((one.oldest for one in some), default=None) for some in open_], strict=True)
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_oldest_is_known_without_a_look_at_all(tmp_path: Path, seed: int) -> None:
    """Of each projection by itself; None when the last one is through."""
    rng = Random(seed)
    with new_store(tmp_path) as store:
        for _ in range(300):
            # What goes on opens others that are as old as it: positions don't only grow.
            at = Position(rng.randrange(1, 9))
            store.write(partial(_one_step, rng=rng, at=at))
            assert all(said == is_ for said, is_ in store.read(_oldest))
