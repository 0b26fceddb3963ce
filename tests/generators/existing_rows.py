"""Reads the rows that a source has already, as a backfill does but without a stream beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdc_daemon.events import Chunk, Relation, Row
    from cdc_daemon.ports import ChunkReader, ChunkRows, Source


def planned(source: Source, relation: Relation) -> list[Chunk]:
    """The chunks of the table."""
    reader = source.chunk_reader()
    try:
        reader.settle()
        return reader.plan(relation)
    finally:
        reader.close()


def read_chunks(
    reader: ChunkReader, relation: Relation, chunks: Iterable[Chunk]
) -> list[ChunkRows]:
    """Every chunk, and what is left of those that ended early."""
    waiting = list(reversed(list(chunks)))
    read = []
    while waiting:
        read.append(reader.read(relation, waiting.pop()))
        waiting.extend(rest for rest in (read[-1].rest,) if rest is not None)
    return read


def rows_of(reader: ChunkReader, relation: Relation, chunks: Iterable[Chunk]) -> list[Row]:
    """The rows of all chunks."""
    return [row for read in read_chunks(reader, relation, chunks) for row in read.rows]


def existing_chunks(source: Source, relation: Relation) -> list[ChunkRows]:
    """Every chunk of the table."""
    reader = source.chunk_reader()
    try:
        reader.settle()
        return read_chunks(reader, relation, reader.plan(relation))
    finally:
        reader.close()


def existing_rows(source: Source, relation: Relation) -> list[Row]:
    """Every row of the table."""
    return [row for read in existing_chunks(source, relation) for row in read.rows]
