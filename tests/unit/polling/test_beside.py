"""Whether anybody may have read between two polls, in whatever order both take their snapshots."""

from __future__ import annotations

from contextlib import ExitStack, closing
from itertools import combinations
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from cdc_daemon.events import NOWHERE
from connectors.polling.beside import Beside
from connectors.polling.chunks import PollingChunkReader
from connectors.polling.memory import Memory

if TYPE_CHECKING:
    from pathlib import Path

POLLS = 4
"""Each has two moments: it begins, and has its snapshot."""
MOMENTS = 2 * POLLS
READS = [(begins, ends) for begins in range(MOMENTS + 1) for ends in range(begins, MOMENTS + 1)]
"""Before which moment somebody begins to read, and is done."""


def polls_that_give_the_same(reads: list[tuple[int, int]]) -> list[bool]:
    """What each poll is told."""
    beside, told = Beside(), []
    open_: dict[int, ExitStack] = {}
    for moment in range(MOMENTS):
        for number, (begins, ends) in enumerate(reads):
            if begins == moment:
                open_[number] = ExitStack()
                open_[number].enter_context(beside.reading())
            if ends == moment:
                open_[number].close()
        if moment % 2 == 0:
            beside.begin()
        else:
            told.append(beside.may_have_read())
    return told


def test_the_first_poll_does_not_know() -> None:
    """Another process may have read; and where nobody reads, no other poll gives the same."""
    assert polls_that_give_the_same([]) == [True, False, False, False]


@pytest.mark.parametrize(
    "reads", [[one] for one in READS] + [[*two] for two in combinations(READS[::7], 2)]
)
def test_polls_beside_whoever_reads_know(reads: list[tuple[int, int]]) -> None:
    """All whose snapshots come before it is done, and the first one after that."""
    told = polls_that_give_the_same(reads)
    for begins, ends in reads:
        within = [told[moment // 2] for moment in range(begins, ends) if moment % 2]
        after = [told[moment // 2] for moment in range(ends, MOMENTS) if moment % 2]
        assert all(within)
        assert after[:1] in ([], [True])


def test_whoever_is_done_with_reading_is_forgotten() -> None:
    """One poll is enough, or two where its begin is met."""
    assert polls_that_give_the_same([(2, 2)]) == [True, True, False, False]
    assert polls_that_give_the_same([(3, 3)]) == [True, True, True, False]
    beside = Beside()
    for expected in (True, False):
        beside.begin()
        assert beside.may_have_read() is expected
    beside.begin_again()
    beside.begin()
    assert beside.may_have_read()


@pytest.mark.parametrize("polls_here", [True, False])
def test_a_reader_may_read_until_it_is_closed(tmp_path: Path, *, polls_here: bool) -> None:
    """Nothing was read between two polls, and a row has moved to where it won't be read."""
    beside, closed = Beside(), Mock()
    with closing(Memory(tmp_path / "memory")) as memory:
        reader = PollingChunkReader(
            Mock(close=closed), Mock(), memory if polls_here else None, lambda: NOWHERE, beside
        )
        for expected in (True, polls_here, polls_here, polls_here):
            beside.begin()
            assert beside.may_have_read() is expected
        reader.close()
        reader.close()
        closed.assert_called_once()
        for expected in (polls_here, False):
            beside.begin()
            assert beside.may_have_read() is expected
