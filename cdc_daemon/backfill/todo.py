"""What is left to read of a table: planned chunks, minus what is durable. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cdc_daemon.events import Chunk

    Place = tuple[int, int]


def merged(chunks: Iterable[Chunk]) -> tuple[Chunk, ...]:
    """The same rows in as few chunks as can be."""
    whole: list[Chunk] = []
    for chunk in sorted(chunks, key=lambda chunk: (chunk.oid, chunk.filenode, chunk.first)):
        last = whole[-1] if whole else None
        if last is not None and _file(last) == _file(chunk) and last.end == chunk.first:
            whole[-1] = replace(last, end=chunk.end)
        else:
            whole.append(chunk)
    return tuple(whole)


def without(todo: Sequence[Chunk], done: Chunk) -> tuple[Chunk, ...]:
    """What is left of `todo` once `done` is durable."""
    left: list[Chunk] = []
    for chunk in todo:
        if _file(chunk) != _file(done):
            left.append(chunk)
            continue
        parts = [replace(chunk, end=_earlier(chunk.end, done.first))]
        if done.end is not None:
            parts.append(replace(chunk, first=max(chunk.first, done.end)))
        left.extend(filter(_is_some, parts))
    if not any(_file(chunk) == _file(done) for chunk in left):
        left.append(_nothing_of(done))
    return tuple(left)


def resumed(planned: Iterable[Chunk], todo: Sequence[Chunk]) -> list[Chunk]:
    """What to read of a new plan, where `todo` is what was left of an older one.

    Blocks that a table has got since the older plan are the stream's. A table with another file
    was rewritten since: all of it is read.
    """
    left: dict[tuple[int, int], list[Chunk]] = defaultdict(list)
    for chunk in todo:
        left[_file(chunk)].append(chunk)
    return [
        part
        for chunk in planned
        for part in (_common(chunk, left[_file(chunk)]) if _file(chunk) in left else [chunk])
    ]


def is_done(todo: Iterable[Chunk]) -> bool:
    """Whether nothing is left."""
    return not any(map(_is_some, todo))


def blocks(chunks: Iterable[Chunk]) -> int:
    """About how many blocks the chunks have."""
    return sum(max(0, chunk.end[0] - chunk.first[0]) for chunk in chunks if chunk.end is not None)


def _common(chunk: Chunk, left: Iterable[Chunk]) -> list[Chunk]:
    parts = (
        replace(chunk, first=max(chunk.first, part.first), end=_earlier(chunk.end, part.end))
        for part in left
    )
    return [part for part in parts if _is_some(part)]


def _file(chunk: Chunk) -> tuple[int, int]:
    return chunk.oid, chunk.filenode


def _nothing_of(chunk: Chunk) -> Chunk:
    """Stays in the list, so that a file that is done is told from one that is new."""
    return replace(chunk, first=(0, 0), end=(0, 0))


def _earlier(one: Place | None, other: Place | None) -> Place | None:
    if one is None or other is None:
        return one or other
    return min(one, other)


def _is_some(chunk: Chunk) -> bool:
    return chunk.end is None or chunk.first < chunk.end
