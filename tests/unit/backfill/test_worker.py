"""A worker alone: what it reads, and what it does while it may not read."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from cdc_daemon.backfill import loads as loads_module
from cdc_daemon.backfill import worker as worker_module
from cdc_daemon.backfill.loads import Loads
from cdc_daemon.backfill.targets import IndexTarget
from cdc_daemon.backfill.worker import Worker
from cdc_daemon.errors import RetryError
from tests.generators.by_hand import projection
from tests.generators.conditions import wait_until
from tests.generators.scripted_source import Below, MemoryChunkReader, ScriptedSource
from tests.unit.backfill.conftest import FIRST, HOTELS, ROWS_OF_BLOCK, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.events import Chunk, Relation
    from cdc_daemon.ports import ChunkRows

LOOK_SECONDS = 0.02
ROOMS = projection("rooms")


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
    assert [chunk.rows for _, _, chunk in loads.news().arrivals] == [ROWS_OF_BLOCK]


class Reading(NamedTuple):
    """One worker over two loads, each of two chunks."""

    loads: Loads
    reader: OneIsLocked
    failures: list[BaseException]

    def brought(self) -> list[str]:
        """The tables of the chunks that were read, once two more are."""
        seen: list[str] = []
        assert wait_until(lambda: len(self.more(seen)) >= 2, 20), self.failures
        return seen

    def more(self, seen: list[str]) -> list[str]:
        """With what has come meanwhile, which is durable at once."""
        for _, _, chunk in self.loads.news().arrivals:
            assert chunk.chunk is not None
            seen.append(chunk.chunk.table)
            self.loads.written(chunk)
            self.loads.durable(chunk)
        return seen


class OneIsLocked(MemoryChunkReader):
    """The rows of hotels can't be read for now: planned they can be, or not even that."""

    def __init__(self, source: ScriptedSource, refuses: str) -> None:
        super().__init__(source)
        self._refuses = refuses
        self.is_locked = True
        self.is_away = False
        self.tried = 0

    def settle(self, joined: Relation | None = None) -> None:
        """While it is asked for hotels, which are planned first, there are writers."""
        super().settle(joined)
        if self._refuses == "settle":
            self._refuse(joined is not None)

    def read(self, relation: Relation, chunk: Chunk, where: str = "") -> ChunkRows:
        """Of another table, at once."""
        if self._refuses == "read":
            self._refuse(relation == HOTELS.relation)
        return super().read(relation, chunk, where)

    def visibility(self) -> Below:
        """Unless there is no connection."""
        if self.is_away:
            raise RetryError("the source can't be reached")
        return super().visibility()

    def _refuse(self, of_hotels: bool) -> None:  # noqa: FBT001 - whether it is asked for them
        if self.is_locked and of_hotels:
            self.tried += 1
            raise RetryError("the table is locked", reason="locked")


@pytest.fixture
def read(no_backoff: None) -> Iterator[Callable[[str], Reading]]:  # noqa: ARG001 - for its effect
    """Begin to read; ended afterwards."""
    with ExitStack() as stack:

        def begin(refuses: str) -> Reading:
            loads, failures = Loads(1, lambda: None), list[BaseException]()
            reader = OneIsLocked(ScriptedSource(blocks()[:2]), refuses)
            joined = replace(FIRST, joined=True)
            loads.add(HOTELS.relation, {"hotels-000001": IndexTarget(HOTELS)}, joined)
            loads.add(ROOMS.relation, {"rooms-000001": IndexTarget(ROOMS)}, FIRST)
            worker = Worker(0, loads, reader, None, failures.append)
            worker.start()
            stack.callback(worker.join, 5)
            stack.callback(loads.close)
            return Reading(loads, reader, failures)

        yield begin


@pytest.mark.parametrize("refuses", ["read", "settle"])
def test_a_table_that_can_not_be_read_keeps_nobody_from_another(
    read: Callable[[str], Reading], refuses: str
) -> None:
    """The only worker reads the other one meanwhile, and the first one once it can be read."""
    reading = read(refuses)
    assert set(reading.brought()) == {"public.rooms"}
    assert wait_until(lambda: reading.reader.tried >= 2, 5), "it is tried again"
    reading.reader.is_locked = False
    assert set(reading.brought()) == {"public.hotels"}


def test_who_waits_for_a_table_heeds_a_pause(read: Callable[[str], Reading]) -> None:
    """It isn't tried again before somebody resumes."""
    reading = read("read")
    reading.brought()
    reading.loads.pause(paused=True)
    assert wait_until(lambda: reading.loads.out == 0, 5)
    reading.reader.is_locked = False
    time.sleep(0.5)
    assert not reading.loads.news().arrivals
    reading.loads.pause(paused=False)
    assert set(reading.brought()) == {"public.hotels"}


def test_who_has_no_connection_keeps_no_work(read: Callable[[str], Reading]) -> None:
    """Nobody waits for what it sees; it comes back by itself."""
    reading = read("read")
    reading.brought()
    reading.reader.is_away = True
    assert wait_until(lambda: reading.loads.news().away == {0}, 5)
    assert reading.loads.out == 0
    reading.reader.is_away = reading.reader.is_locked = False
    assert wait_until(lambda: not reading.loads.news().away, 5)
