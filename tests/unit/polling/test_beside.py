"""Whether anybody may have read between two polls, in whatever order both take their snapshots."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import combinations

import pytest

from connectors.polling.beside import Beside

POLLS = 4
"""Each has two moments: it begins, and has its snapshot."""
MOMENTS = 2 * POLLS
READS = [
    (begins, sees, ends)
    for begins in range(MOMENTS + 1)
    for sees in range(begins, MOMENTS + 1)
    for ends in range(sees, MOMENTS + 1)
]
"""Before which moment somebody begins to read, has a snapshot, and is done."""


def polls_that_give_the_same(reads: list[tuple[int, int, int]]) -> list[bool]:
    """What each poll is told."""
    beside, told = Beside(), []
    open_: dict[int, ExitStack] = {}
    for moment in range(MOMENTS):
        for number, (begins, _, ends) in enumerate(reads):
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
def test_the_poll_after_a_snapshot_of_somebody_knows(reads: list[tuple[int, int, int]]) -> None:
    """The first one whose own snapshot comes after it."""
    told = polls_that_give_the_same(reads)
    for _, sees, _ in reads:
        after = [told[moment // 2] for moment in range(sees, MOMENTS) if moment % 2]
        assert after[:1] in ([], [True])


def test_whoever_has_read_long_ago_is_forgotten() -> None:
    """One poll is enough, or two where its begin is met."""
    assert polls_that_give_the_same([(2, 2, 2)]) == [True, True, False, False]
    assert polls_that_give_the_same([(3, 3, 3)]) == [True, True, True, False]
    beside = Beside()
    for expected in (True, False):
        beside.begin()
        assert beside.may_have_read() is expected
    beside.begin_again()
    beside.begin()
    assert beside.may_have_read()
