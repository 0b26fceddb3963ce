"""A process that applies a random history to a state until it is killed: FOLDER SEED."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from cdc_daemon.events import Position
from cdc_daemon.state import Batch, Staged
from tests.generators.state_world import WANTED, Sums, World
from tests.generators.states import new_store


def main(folder: Path, seed: int) -> None:
    """One transaction of the history after the other, a few in a batch, at positions 1, 2, 3."""
    world, sizes = World(Random(seed)), Random(seed + 1)
    with new_store(folder) as store:
        store.fit(WANTED)
        position = 0
        print("begun", flush=True)  # noqa: T201 - the test waits for it
        while True:
            staged = []
            for _ in range(sizes.randint(1, 4)):
                one = Staged(store.tables, folder, sizes.choice([500, 10**6]))
                for change in world.transaction():
                    one.put(change)
                staged.append(one)

            def apply(batch: Batch, staged: list[Staged] = staged, first: int = position) -> None:
                for number, one in enumerate(staged, first + 1):
                    batch.apply(one, Position(number), Sums(store, batch))

            store.write(apply)
            position += len(staged)
            if position % 50 == 0:
                store.sync()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
