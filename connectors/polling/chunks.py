"""Existing rows, beside polls: what no poll may have seen is noted for the next one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from cdc_daemon.events import Position
from connectors.polling.differences import Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.events import Chunk, Relation
    from cdc_daemon.ports import ChunkReader, ChunkRows, FoundRows
    from connectors.polling.beside import Beside
    from connectors.polling.config import PollingConfig
    from connectors.polling.memory import Memory

    Rows = TypeVar("Rows", ChunkRows, FoundRows)


class PollingChunkReader:
    """A `ChunkReader`: one thread owns it.

    Whatever of a chunk has been given was given by a poll that had begun, and what hasn't comes
    with one to come, at a higher position: so rows needn't wait for the end of the log. A row that
    was written after a poll, is in a chunk, and gone before the next poll, is in none. So the keys
    that polls don't know are noted, and the chunk waits for the next one: it finds what is gone.
    And what is as before again, or has moved among blocks, is given by polls: all that is written
    as long as the reader isn't closed (`Beside`).
    """

    def __init__(
        self,
        reader: ChunkReader,
        config: PollingConfig,
        memory: Memory | None,
        begun: Callable[[], Position],
        beside: Beside,
    ) -> None:
        """`memory`: of the polls beside which rows are read, None for somebody who only looks.

        `begun`: the position of the last poll that has begun.
        """
        self._reader = reader
        self._config = config
        self._memory = memory
        self._begun = begun
        self._open = ExitStack()
        if memory is not None:
            self._open.enter_context(beside.reading())
        self._open.callback(reader.close)
        self.plan = reader.plan
        self.check = reader.check
        self.settle = reader.settle
        self.visibility = reader.visibility

    def read(self, relation: Relation, chunk: Chunk, where: str = "") -> ChunkRows:
        """As of one snapshot; rows that count as deleted are left out."""
        condition = self._not_deleted(relation, where)
        return self._noted(relation, self._reader.read(relation, chunk, condition))

    def read_keys(
        self,
        relation: Relation,
        columns: Sequence[str],
        keys: Sequence[tuple[str, ...]],
        where: str = "",
    ) -> FoundRows:
        """As of one snapshot; rows that count as deleted are left out here as well."""
        condition = self._not_deleted(relation, where)
        found = self._reader.read_keys(relation, columns, keys, condition)
        return self._noted(relation, found)

    def close(self) -> None:
        """Release the connection: nothing more is read, of no load. Safe to call twice."""
        self._open.close()

    def _not_deleted(self, relation: Relation, where: str) -> str:
        conditions = [where] if where else []
        if deleted := self._config.of_table(relation.qualified_name).deleted:
            conditions.append(f"({deleted}) is not true")
        return " and ".join(f"({one})" for one in conditions)

    def _noted(self, relation: Relation, found: Rows) -> Rows:
        if self._memory is None:
            return found
        reached = self._begun()  # only now: a poll that it sees had begun
        if self._config.of_table(relation.qualified_name).compares:
            keys = Keys(relation)
            noted = [keys.of([row[place] for place in keys.places]) for row in found.rows]
            if self._memory.note(relation.qualified_name, noted):
                reached = Position(reached + 1)  # the next poll says whether they are still there
        return replace(found, reached=reached)
