"""Existing rows, a chunk at a time, in order with the stream: none comes after what is newer.

A chunk is read in one snapshot, and waits until the stream has passed where the log ended then
(`backfill.window`). The reader reads it itself: a chunk takes a tenth of a second.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.backfill.nudging import Nudging
from cdc_daemon.backfill.todo import is_done, merged, resumed, without
from cdc_daemon.backfill.window import LoadedChunk, Window
from cdc_daemon.errors import RetryError, RewrittenError
from cdc_daemon.events import ChangeKind, PartlyUnreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.backfill.window import Transaction
    from cdc_daemon.events import Change, Chunk, Load, Position, Relation, Row
    from cdc_daemon.ports import ChunkReader

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 1.0
"""After a table was locked, or what was committed before wasn't visible yet."""
_ONLY_WORKER: Final = 0
_ONLY_LOAD: Final = 0


class Snapshot:
    """Of one start. The reader owns it."""

    def __init__(
        self,
        relations: Sequence[Relation],
        loads: Sequence[Load],
        reader: ChunkReader,
        rows_per_second: float | None = None,
    ) -> None:
        """`reader` was made before the stream begins: it knows what a new place leaves out."""
        self._relations = {relation.qualified_name: relation for relation in relations}
        self.loads = tuple(load for load in loads if load.table in self._relations)
        """What is left, as the checkpoint has it."""
        self._reader = reader
        self._rows_per_second = rows_per_second
        self._window = Window(workers=1)
        self._nudging = Nudging(lambda: None)
        self._transaction: Transaction | None = None
        self._chunks: list[Chunk] = []
        """Of the first of `loads`, in the order in which they are read."""
        self._rows: dict[bytes, Row] = {}
        self._is_careful = False
        self._not_before = 0.0

    def nudge_by(self, nudge: Callable[[], None]) -> None:
        """What has an idle source move on."""
        self._nudging = Nudging(nudge)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return not self.loads

    @property
    def can_read(self) -> bool:
        """Whether it would be of use to call `step` at once."""
        return not (self.is_over or len(self._window)) and time.monotonic() >= self._not_before

    def begin(self, xid: int, after: Position) -> None:
        """A transaction of the stream begins."""
        if not self.is_over:
            self._transaction = self._window.transaction(xid, after)

    def change(self, change: Change) -> None:
        """A change of it: what chunks that don't see it have of the row is older."""
        table = change.relation.qualified_name
        if self._transaction is None or table not in self._relations:
            return
        if change.kind is ChangeKind.TRUNCATE:
            self._transaction.truncated(table)
            return
        keys = [
            (key_of(change.relation, row), None)
            for row in (change.old, change.new)
            if row is not None
        ]
        for _ in self._transaction.touching(table, keys):
            pass

    def step(self, received: Position) -> tuple[Relation, list[Row]] | None:
        """Between transactions: rows that are to be written now, or another chunk is read."""
        self._transaction = None
        chunk = self._window.ready(received)
        if chunk is not None:
            return self._released(chunk)
        self._nudging.waits(received, self._window.waits_for())
        if self.can_read:
            self._try_to_read()
        return None

    def _released(self, chunk: LoadedChunk) -> tuple[Relation, list[Row]]:
        load = self.loads[0]
        (keys,) = chunk.contents.values()
        rows = (PartlyUnreadable if self._is_careful else list)(self._rows[key] for key in keys)
        self._window.released(chunk)
        if chunk.chunk is not None and load.todo is not None:
            todo = without(load.todo, chunk.chunk)
            self.loads = (
                replace(load, todo=todo, rows=load.rows + len(rows)),
                *self.loads[1:],
            )
            self._end_if_done()
        return self._relations[load.table], rows

    def _end_if_done(self) -> None:
        load = self.loads[0]
        if load.todo is not None and is_done(load.todo):
            log.info("relay_loaded", table=load.table, rows=load.rows)
            self.loads = self.loads[1:]
            self._chunks = []

    def _try_to_read(self) -> None:
        try:
            self._read()
        except RewrittenError as error:
            log.warning("table_rewritten", reason=str(error))
            self._chunks = []
        except RetryError as error:
            self._not_before = time.monotonic() + RETRY_SECONDS
            log.warning("backfill_retry", reason=error.reason, error=str(error))
            self._window.snapshot_taken(_ONLY_WORKER, self._reader.visibility())

    def _read(self) -> None:
        load = self.loads[0]
        relation = self._relations[load.table]
        if not self._chunks:
            self._plan(load, relation)
            return
        began = time.monotonic()
        read = self._reader.read(relation, self._chunks[0])
        self._is_careful = isinstance(read.rows, PartlyUnreadable)
        self._rows = {key_of(relation, row): row for row in read.rows}
        loaded = LoadedChunk(
            load=_ONLY_LOAD,
            chunk=read.chunk,
            rest=read.rest,
            seen=read.seen,
            reached=read.reached,
            contents={load.table: dict.fromkeys(self._rows)},
            rows=len(read.rows),
        )
        if self._window.arrived(loaded):
            self._chunks[:1] = [] if read.rest is None else [read.rest]
        self._window.snapshot_taken(_ONLY_WORKER, read.seen)
        if self._rows_per_second:
            self._not_before = began + len(read.rows) / self._rows_per_second

    def _plan(self, load: Load, relation: Relation) -> None:
        """Once all that was committed before is visible: what was relayed of it is older then."""
        self._reader.settle(relation if load.joined else None)
        planned = self._reader.plan(relation)
        self._chunks = planned if load.todo is None else resumed(planned, load.todo)
        todo = merged(self._chunks)
        self.loads = (replace(load, todo=todo, settled=True), *self.loads[1:])
        self._end_if_done()

    def close(self) -> None:
        """Release the connection."""
        self._reader.close()


def key_of(relation: Relation, row: Row) -> bytes:
    """What tells a row of the table from others; rows come here with the columns of their time."""
    return b"\x1f".join(
        value if isinstance(value, bytes) else b""
        for value in map(row.__getitem__, places(relation))
    )


def places(relation: Relation) -> list[int]:
    """Where in a row its key is."""
    return [relation.index_of(name) for name in relation.key]
