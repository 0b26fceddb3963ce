"""A worker alone: what it reads, and what it does while it may not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.backfill import loads as loads_module
from cdc_daemon.backfill import worker as worker_module
from cdc_daemon.backfill.loads import Loads
from cdc_daemon.backfill.targets import IndexTarget
from cdc_daemon.backfill.worker import Worker
from cdc_daemon.errors import RetryError
from tests.generators.conditions import wait_until
from tests.generators.scripted_source import Below, MemoryChunkReader, ScriptedSource
from tests.unit.backfill.conftest import FIRST, HOTELS, ROWS_OF_BLOCK, blocks

if TYPE_CHECKING:
    from cdc_daemon.events import Chunk, Relation
    from cdc_daemon.ports import ChunkRows

LOOK_SECONDS = 0.02


class LosesItsConnection(MemoryChunkReader):
    """After each chunk the next snapshot fails."""

    def __init__(self, source: ScriptedSource) -> None:
        super().__init__(source)
        self._is_lost = False
        self.looks = 0
        """How many snapshots were taken."""

    def read(self, relation: Relation, chunk: Chunk, where: str = "") -> ChunkRows:
        """The block."""
        rows = super().read(relation, chunk, where)
        self._is_lost = True
        return rows

    def visibility(self) -> Below:
        """It connects again by itself."""
        if self._is_lost:
            self._is_lost = False
            raise RetryError("the connection was cut")
        self.looks += 1
        return super().visibility()


@pytest.mark.usefixtures("no_backoff")
def test_a_chunk_comes_once_though_the_source_is_lost_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the worker rests, so that it reads no more rows a second than it may."""
    monkeypatch.setattr(loads_module, "IDLE_SECONDS", LOOK_SECONDS)
    monkeypatch.setattr(worker_module, "IDLE_SECONDS", LOOK_SECONDS)
    loads, failures = Loads(1, lambda: None), list[BaseException]()
    loads.add(HOTELS.relation, {"hotels-000001": IndexTarget(HOTELS)}, FIRST)
    reader = LosesItsConnection(ScriptedSource(blocks()[:1]))
    worker = Worker(0, loads, reader, ROWS_OF_BLOCK / (10 * LOOK_SECONDS), failures.append)
    worker.start()
    assert wait_until(lambda: reader.looks > 20, 5), failures
    loads.close()
    worker.join(5)
    assert [chunk.rows for _, _, chunk in loads.arrivals()] == [ROWS_OF_BLOCK]
