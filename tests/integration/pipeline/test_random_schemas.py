"""Random tables, which change, and read models under random transactions, with SQL as the oracle.

Several schemas at once, each with a daemon of its own, over the same servers: a history mostly
waits, and what the others do to the server is one more thing that must not matter.

PROPERTY_SECONDS says how long on each version (15), or PROOF_SECONDS on all. PROPERTY_SEED repeats
a run: its first schema is the one that failed. Sessions race, so that the same steps may meet in
another order.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from random import Random
from threading import Event
from typing import TYPE_CHECKING

import pytest

from tests.generators.budget import deadline, repeatable, seeded
from tests.generators.controlled_daemon import ControlledDaemon
from tests.generators.random_schema import Schema, played

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

VERSIONS = [15, 16, 18]
BESIDE = 6
"""Schemas at once: so many keep the servers busy on two cores."""


@pytest.mark.parametrize("database", VERSIONS, indirect=True)
def test_random_schemas(database: Database, start_daemon: StartDaemon, rest: Rest) -> None:
    """Loaded, streamed, repaired, killed: every document equals SQL over the source."""
    seed, _ = seeded()
    players = Players(database.dsn, rest, seed)
    daemons = [
        ControlledDaemon(start_daemon({}, start=False, folder=f"beside{number}"))
        for number in range(BESIDE)
    ]
    with ThreadPoolExecutor(BESIDE) as threads:
        try:
            counts = sum(threads.map(players.play, daemons), Counter[str]())
        finally:
            players.stop()  # also where the run is ended by a signal
    if players.failures:
        raise BaseExceptionGroup("random schemas", players.failures)
    name = database.server.name
    print(f"random schemas on {name}: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts


class Players:
    """Threads that play one schema after the other until the time is over, or one has failed."""

    def __init__(self, dsn: str, rest: Rest, seed: int) -> None:
        self._dsn = dsn
        self._rest = rest
        self._seeds: Iterator[int] = count(seed)
        self._is_late = deadline(proof_share=1 / len(VERSIONS))
        self._stop_asked = Event()
        self.failures: list[BaseException] = []

    def stop(self) -> None:
        """End after the history that is played."""
        self._stop_asked.set()

    def play(self, daemon: ControlledDaemon) -> Counter[str]:
        """At least one schema; all that was counted."""
        counts: Counter[str] = Counter()
        while not counts or not self._is_over():
            seed = next(self._seeds)
            counts["schemas"] += 1
            try:
                with repeatable(seed):
                    schema = Schema(self._dsn, daemon, self._rest, Random(seed))
                    counts += played(schema, self._is_over)
            except BaseException as error:  # noqa: BLE001 - shown beside what others have found
                self.failures.append(error)
                self.stop()
        return counts

    def _is_over(self) -> bool:
        return self._stop_asked.is_set() or self._is_late()
