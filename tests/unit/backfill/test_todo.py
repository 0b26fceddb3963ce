"""What is left to read: nothing is read twice without need, and nothing is left out."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cdc_daemon.backfill.todo import blocks, is_done, merged, resumed, without
from cdc_daemon.events import Chunk

TABLE = Chunk("t", 1, 10, (0, 0), (40, 0))


def part(first: int, end: int, line: int = 0) -> Chunk:
    """Some blocks of the table."""
    return replace(TABLE, first=(first, line), end=(end, 0))


def places(chunks: tuple[Chunk, ...] | list[Chunk], file: int = 10) -> set[int]:
    """The blocks that chunks hold."""
    return {
        block
        for chunk in chunks
        if chunk.filenode == file and chunk.end is not None
        for block in range(chunk.first[0], chunk.end[0])
    }


cuts = st.lists(st.integers(1, 39), max_size=6, unique=True).map(sorted)


def divided(bounds: list[int]) -> list[Chunk]:
    """The table, cut at these blocks."""
    edges = [0, *bounds, 40]
    return [part(first, end) for first, end in itertools.pairwise(edges)]


@given(cuts, cuts, st.data())
def test_what_is_left_and_what_is_done_is_the_whole(
    before: list[int], after: list[int], data: st.DataObject
) -> None:
    """However chunks are done, and however the next start divides the table."""
    chunks = divided(before)
    done = data.draw(st.lists(st.sampled_from(chunks), unique=True))
    todo = merged(chunks)
    assert todo == (TABLE,)
    for chunk in done:
        todo = merged(without(todo, chunk))
    left = resumed(divided(after), todo)
    assert places(left) == places(chunks) - places(done)
    assert sum(map(len, (places([one]) for one in left))) == len(places(left)), "read twice"
    assert blocks(todo) == len(places(left))
    assert is_done(todo) == (len(done) == len(chunks))


def test_a_chunk_that_ended_early_leaves_its_rest() -> None:
    """In the middle of a block."""
    early = replace(TABLE, end=(7, 3))
    assert without((TABLE,), early) == (replace(TABLE, first=(7, 3)),)


def test_blocks_that_came_later_are_the_streams() -> None:
    """A table that has grown since it was planned is read no further than it was then."""
    grown = [part(0, 30), part(30, 90)]
    assert places(resumed(grown, (part(20, 40),))) == set(range(20, 40))


def test_a_rewritten_table_is_read_whole() -> None:
    """Its old file is gone, and what was done of it too; other partitions go on."""
    other = replace(TABLE, oid=2, filenode=20)
    rewritten = replace(TABLE, filenode=11)
    todo = without((TABLE, other), part(0, 39))
    left = resumed([rewritten, other], without(todo, other))
    assert places(left, 11) == set(range(40))
    assert places(left, 20) == set()


def test_a_file_that_is_done_is_not_read_again() -> None:
    """Also when it was done long before the others."""
    other = replace(TABLE, oid=2, filenode=20)
    todo = merged(without((TABLE, other), TABLE))
    assert resumed([TABLE, other], todo) == [other]
    assert not is_done(todo)
    assert is_done(without(todo, other))
