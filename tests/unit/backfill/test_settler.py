"""A repair waits on a connection of its own until older commits are visible: it is closed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_daemon.backfill.activeload import Work
from cdc_daemon.backfill.loads import Loads
from cdc_daemon.backfill.targets import IndexTarget
from cdc_daemon.events import Position, Relation
from tests.generators.scripted_source import MemoryChunkReader, ScriptedSource
from tests.unit.backfill.conftest import FIRST, HOTELS, blocks


class Settler(MemoryChunkReader):
    """Counts how often it is closed."""

    def __init__(self) -> None:
        super().__init__(ScriptedSource(blocks()))
        self.closed = 0

    def close(self) -> None:
        """Once more."""
        self.closed += 1


@pytest.fixture
def settler() -> Settler:
    """A connection that waits."""
    return Settler()


@pytest.fixture
def loads(settler: Settler) -> Loads:
    """A repair that nobody has begun to read."""
    made = Loads(1, lambda: None)
    repair = replace(FIRST, since=Position(1))
    made.add(HOTELS.relation, {"hotels-000001": IndexTarget(HOTELS)}, repair, settler)
    return made


def test_a_load_that_is_cancelled_before_anybody_reads_closes_it(
    loads: Loads, settler: Settler
) -> None:
    """No worker will ever look at it."""
    loads.cancel(loads.active[0])
    assert settler.closed == 1


def test_a_load_that_is_cancelled_between_two_questions_closes_it(
    loads: Loads, settler: Settler
) -> None:
    """It waits for a commit, and for its next turn to ask."""
    work = loads.take()
    assert work is not None
    loads.put_off(work)
    loads.cancel(loads.active[0])
    assert settler.closed == 1


def test_a_worker_that_asks_just_now_closes_it_afterwards(loads: Loads, settler: Settler) -> None:
    """A connection is its thread's while that uses it."""
    work = loads.take()
    assert work is not None
    loads.cancel(loads.active[0])
    assert settler.closed == 0
    loads.put_off(work)
    assert settler.closed == 1


def test_an_end_closes_it(loads: Loads, settler: Settler) -> None:
    """Whether a worker asks just now or not: a start in place goes on in the same process."""
    other = Settler()
    work = loads.take()
    assert work is not None
    loads.add(Relation("public", "other", ()), {}, replace(FIRST, since=Position(1)), other)
    loads.close()
    assert (settler.closed, other.closed) == (0, 1)
    loads.put_off(work)
    assert settler.closed == 1


def test_it_is_closed_once_all_is_visible(loads: Loads, settler: Settler) -> None:
    """And never again."""
    work = loads.take()
    assert isinstance(work, Work)
    assert work.load is not None
    work.load.settle(settler)
    assert settler.closed == 1
    loads.planned(work.load, [])
    loads.cancel(work.load)
    assert settler.closed == 1


def test_a_load_that_goes_on_and_has_waited_closes_it(settler: Settler) -> None:
    """Its checkpoint says so."""
    loads = Loads(1, lambda: None)
    repair = replace(FIRST, since=Position(1), settled=True)
    loads.add(HOTELS.relation, {"hotels-000001": IndexTarget(HOTELS)}, repair, settler)
    loads.active[0].settle(settler)
    assert settler.closed == 1
