"""A batch: transactions applied to the state, all of it or nothing.

Each row goes from one state to the next by itself, with a listener told before and after: it takes
away what the row added to aggregates, adds what it adds now, and finds the documents that show it.
At each of these moments the state holds some state of every row, one after the other, so what is
taken away was added before, and the sums are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from cdc_daemon.events import Position
from cdc_daemon.state.environment import keys_there
from cdc_daemon.state.knowing import Known
from cdc_daemon.state.rows import filled, is_incomplete, is_odd
from cdc_daemon.state.schema import HOLES, META, NUMBER_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cdc_daemon.state.counters import Counters
    from cdc_daemon.state.environment import Database, Transaction
    from cdc_daemon.state.fanouts import FanOutSet
    from cdc_daemon.state.pending import PendingSet
    from cdc_daemon.state.staging import Segment, Staged, TableSegment
    from cdc_daemon.state.table import Table

POSITION: Final = b"position"
PROGRESS: Final = b"progress"
COUNTED: Final = b"counted "
"""Begins the names of how far aggregates are counted."""
KNOWN: Final = b"known "
"""And of what is known of the documents of projections."""

BEAT_ROWS: Final = 1_000
"""Between two calls of `Batch.meanwhile`: about 50 ms, or 20 where they are only looked at."""


class Listener(Protocol):
    """Follows each row that changes; rows are packed (`rows.value_at`), None where there is none.

    Called for rows that are other bytes than before, and for no others.
    """

    def before(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """The state still has the old row."""

    def after(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """The state has the new row."""


class Deaf:
    """A listener that does nothing."""

    def before(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """Do nothing."""

    def after(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """Do nothing."""


_DEAF: Final = Deaf()


class Batch:
    """One transaction of the state, in which any number of the source's are applied."""

    def __init__(
        self,
        txn: Transaction,
        tables: Mapping[int, Table],
        databases: Mapping[str, Database],
        counters: Counters,
        pending: PendingSet,
        fan_outs: FanOutSet,
    ) -> None:
        self.txn = txn
        self.counters = counters
        self.pending = pending
        self.fan_outs = fan_outs
        self._tables = tables
        self._meta = databases[META]
        self._holes = databases[HOLES]
        self.position = position_in(txn, self._meta)
        """Everything up to here is applied."""
        self.applying = self.position
        """Where the transaction ends that is being applied."""
        self.same = 0
        """Rows that changed into what they were."""
        self.meanwhile: Callable[[], None] = lambda: None
        """Called every so many rows; it must not touch the state."""
        self.looked_at = 0
        """How many rows were, one by one."""

    def look_up(self) -> None:
        """One more row is looked at, be it to be changed or on behalf of one that is."""
        self.looked_at += 1
        if not self.looked_at % BEAT_ROWS:
            self.meanwhile()

    def apply(self, staged: Staged, position: Position, listener: Listener) -> None:
        """Apply a transaction that ends at `position`; one that was applied before is left out."""
        if position <= self.position:
            return
        self.applying = position
        for segment in staged.segments():
            self._apply_segment(segment, listener)
        self.position = position

    def reached(self, position: Position) -> None:
        """Everything up to `position` is applied, or is none of the state's."""
        self.position = max(position, self.position)

    def finish(self) -> None:
        """Write what was gathered."""
        self.counters.write()
        self.txn.put(POSITION, b"%d" % self.position, db=self._meta)

    def load(self, table: Table, rows: Sequence[tuple[bytes, bytes]], progress: bytes) -> None:
        """Put existing rows in (`Table.load`), those that the stream has changed since left out
        (`Window`), together with how far the load is.

        Nobody is told of them: who reads a table, and who counts its rows, waits for all of them.
        """  # noqa: D205 - one sentence
        if rows:
            there = keys_there(self.txn, table.database, [key for key, _ in rows])
            for key, packed in rows:
                if key in there:
                    self._put(table, key, packed, _DEAF)
            self._add(table, [one for one in rows if one[0] not in there])
        self.note_progress(progress)

    def _add(self, table: Table, rows: Sequence[tuple[bytes, bytes]]) -> None:
        table.add(self.txn, rows)
        for key, packed in rows:
            if is_odd(packed):
                self._note_hole(table, key, packed)

    def note_progress(self, progress: bytes) -> None:
        """Keep how far the load is."""
        self.txn.put(PROGRESS, progress, db=self._meta)

    @property
    def progress(self) -> bytes:
        """How far the load is, as it was given; empty if it was never."""
        return self.txn.get(PROGRESS, b"", db=self._meta)

    def counted_to(self, aggregate: int) -> bytes:
        """The key of the last row that an aggregate, which is being counted, was counted from."""
        return self.txn.get(COUNTED + b"%d" % aggregate, b"", db=self._meta)

    def note_counted(self, aggregate: int, key: bytes) -> None:
        """It was counted from the rows up to this one."""
        self.txn.put(COUNTED + b"%d" % aggregate, key, db=self._meta)

    def known(self, projection: int) -> Known | None:
        """What was noted of the documents of a projection; None where a daemon was alone."""
        found = self.txn.get(KNOWN + b"%d" % projection, db=self._meta)
        return None if found is None else Known.from_bytes(found)

    def note_known(self, projection: int, known: Known) -> None:
        """From there on it is known which of its documents were touched."""
        self.txn.put(KNOWN + b"%d" % projection, known.to_bytes(), db=self._meta)

    def holes(self, table: Table) -> Iterator[bytes]:
        """The keys of rows that lack a value."""
        prefix = table.number.to_bytes(NUMBER_BYTES, "big")
        with self.txn.cursor(self._holes) as cursor:
            if cursor.set_range(prefix):
                for key in cursor.iternext(keys=True, values=False):
                    if not key.startswith(prefix):
                        return
                    yield key[NUMBER_BYTES:]

    def _apply_segment(self, segment: Segment, listener: Listener) -> None:
        for number, changes in segment.items():
            table = self._tables[number]
            if changes.truncated:
                self._truncate(table, listener)
            if changes.origins:
                self._fill(table, changes)
            # What leaves comes first: then no group holds a row twice under two keys.
            for key, packed in changes.rows.items():
                if packed is None:
                    self._put(table, key, None, listener)
            for key, packed in changes.rows.items():
                if packed is not None:
                    self._put(table, key, packed, listener)

    def _fill(self, table: Table, changes: TableSegment) -> None:
        """Before anything is written: a row may move to where another one was."""
        kept = {key: table.row(self.txn, origin) for key, origin in changes.origins.items()}
        for key, old in kept.items():
            changes.rows[key] = filled(changes.rows[key] or b"", old)
        changes.origins = {}

    def _truncate(self, table: Table, listener: Listener) -> None:
        """Row by row, since each of them may be shown somewhere."""
        with self.txn.cursor(table.database) as cursor:
            while cursor.first():
                self._put(table, cursor.key(), None, listener)

    def _put(self, table: Table, key: bytes, new: bytes | None, listener: Listener) -> None:
        self.look_up()
        txn = self.txn
        old = txn.get(key, db=table.database)
        if old == new:
            self.same += new is not None
            return
        listener.before(table, key, old, new)
        if new is None:
            txn.delete(key, db=table.database)
        else:
            txn.put(key, new, db=table.database)
        for index in table.indexes:
            index.move(txn, key, old, new)
        if (new is not None and is_odd(new)) or (old is not None and is_odd(old)):
            self._note_hole(table, key, new)
        listener.after(table, key, old, new)

    def _note_hole(self, table: Table, key: bytes, new: bytes | None) -> None:
        hole = table.number.to_bytes(NUMBER_BYTES, "big") + key
        if new is not None and is_incomplete(new):
            self.txn.put(hole, b"", db=self._holes)
        else:
            self.txn.delete(hole, db=self._holes)


def position_in(txn: Transaction, meta: Database) -> Position:
    """Where a state is, of the tree `META`."""
    return Position(int(txn.get(POSITION, b"0", db=meta)))
