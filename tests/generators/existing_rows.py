"""Reads the rows that a source has already, as a backfill does but without a stream beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdc_daemon.events import Chunk, Relation, Row
    from cdc_daemon.ports import ChunkRows, Source


def planned(source: Source, relation: Relation) -> list[Chunk]:
    """The chunks of the table."""
    reader = source.chunk_reader()
    try:
        reader.settle()
        return reader.plan(relation)
    finally:
        reader.close()


def read_chunks(source: Source, relation: Relation) -> list[ChunkRows]:
    """Every chunk of the table, and what is left of those that ended early."""
    reader = source.chunk_reader()
    try:
        reader.settle()
        waiting = list(reversed(reader.plan(relation)))
        read = []
        while waiting:
            read.append(reader.read(relation, waiting.pop()))
            waiting.extend(rest for rest in (read[-1].rest,) if rest is not None)
        return read
    finally:
        reader.close()


def existing_rows(source: Source, relation: Relation) -> list[Row]:
    """Every row of the table."""
    return [row for chunk in read_chunks(source, relation) for row in chunk.rows]
