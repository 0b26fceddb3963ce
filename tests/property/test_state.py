"""The state against a naive model: random transactions, undone batches, reopening, kill -9.

PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from cdc_daemon.events import Position
from cdc_daemon.state import Staged
from tests.generators.budget import rounds, seeded
from tests.generators.state_world import WANTED, Sums, World, assert_is
from tests.generators.states import found_store, new_store

if TYPE_CHECKING:
    from cdc_daemon.state import Batch, Store

ROOT = Path(__file__).parents[2]
STEPS = 60


class UndoneError(Exception):
    """Ends a batch before its end."""


class History:
    """A world, and the state that follows it."""

    def __init__(self, rng: Random, folder: Path, stack: ExitStack) -> None:
        self.rng, self.folder, self.stack = rng, folder, stack
        self.world = World(Random(rng.getrandbits(32)))
        self.position = 0
        self.store: Store = stack.enter_context(new_store(folder))
        self.store.fit(WANTED)

    def batch(self) -> int:
        """Apply some transactions in one, half of the time after an attempt that was undone."""
        staged = [self._staged() for _ in range(self.rng.randint(1, 4))]

        def apply(batch: Batch, *, undone: bool) -> None:
            for number, one in enumerate(staged, self.position + 1):
                batch.apply(one, Position(number), Sums(self.store, batch))
            if undone:
                raise UndoneError

        if self.rng.random() < 0.5:
            with suppress(UndoneError):
                self.store.write(lambda batch: apply(batch, undone=True))
        self.store.write(lambda batch: apply(batch, undone=False))
        # What comes again after a restart is left out.
        self.store.write(lambda batch: apply(batch, undone=False))
        self.position += len(staged)
        for one in staged:
            one.close()
        return len(staged)

    def _staged(self) -> Staged:
        one = Staged(self.store.tables, self.folder, self.rng.choice([300, 2000, 10**6]))
        for change in self.world.transaction():
            one.put(change)
        return one

    def reopen(self) -> None:
        """Close it, and go on with what is there."""
        self.stack.close()
        self.store = self.stack.enter_context(found_store(self.folder, self.store.id))
        self.store.fit(WANTED)
        assert self.store.schema.to_load == ["public.parent", "public.child"]
        assert self.store.read(lambda batch: batch.position) == self.position


def test_the_state_is_what_the_naive_model_is(tmp_path: Path) -> None:
    """After any transactions, undone batches and restarts: rows, groups in order, sums."""
    seed, rng = seeded()
    transactions = 0
    for number in rounds(0.5):
        with ExitStack() as stack:
            history = History(rng, tmp_path / str(number), stack)
            for _ in range(STEPS):
                transactions += history.batch()
                if rng.random() < 0.1:
                    history.reopen()
                assert_is(history.store, history.world)
    print(f"{transactions} transactions, PROPERTY_SEED={seed}")  # noqa: T201 - the count


def test_a_killed_process_leaves_whole_transactions(tmp_path: Path) -> None:
    """After kill -9 at any moment the state is what the history is at its own position."""
    seed, rng = seeded()
    kills = transactions = 0
    for number in rounds(0.5):
        folder, of = tmp_path / str(number), rng.getrandbits(32)
        command = [sys.executable, "-m", "tests.generators.state_writer", str(folder), str(of)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"begun\n"
            time.sleep(rng.random() * 0.7)
            writer.kill()
        world = World(Random(of))
        with found_store(folder) as store:
            store.fit(WANTED)
            position = store.read(lambda batch: batch.position)
            for _ in range(position):
                world.transaction()
            assert_is(store, world)
        kills += 1
        transactions += position
    print(f"{kills} kills, {transactions} transactions, PROPERTY_SEED={seed}")  # noqa: T201 - the count
