"""Transactions on their way into the state: folded by the keys of rows, and on disk when large.

A transaction is a sequence of segments. Within a segment the last state of each row counts, so it
can be applied in any order; segments are applied one after the other. One segment is in memory, the
others wait in a file, so memory stays bounded, and a transaction can be applied again when the
state had no room for it.

A value that the stream left out (`UNCHANGED`) is taken from what the segment knows of the row,
else later from what the state keeps of it: under its key of then, if that has changed.
"""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import UNCHANGED, ChangeKind
from cdc_daemon.spilling import give_back, require_room, spill_file, spilling
from cdc_daemon.state.rows import filled, is_incomplete

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from cdc_daemon.events import Change, Relation, Row
    from cdc_daemon.state.table import Table

ENTRY_OVERHEAD_BYTES: Final = 200
"""What a dictionary entry and two bytes objects cost beside their contents."""

Rows: TypeAlias = "dict[bytes, bytes | None]"
"""Key to packed row; None where the row is gone."""


class TableSegment:
    """What a segment does to the rows of one table."""

    __slots__ = ("origins", "rows", "truncated")

    def __init__(self) -> None:
        self.truncated = False
        """All rows from before are gone."""
        self.rows: Rows = {}
        self.origins: dict[bytes, bytes] = {}
        """Of a row that lacks values: the key under which the state keeps them."""


Segment: TypeAlias = "dict[int, TableSegment]"
"""By the table's number."""


class Staged:
    """One transaction."""

    def __init__(
        self,
        tables: Mapping[Relation, Table],
        folder: Path,
        most_bytes: int,
        most_spilled_bytes: int | None = None,
    ) -> None:
        """`most_bytes` of memory, and `most_spilled_bytes` of the disk that `folder` is on."""
        self._tables = tables
        self._folder = folder
        self._most = most_bytes
        self._most_spilled = most_spilled_bytes
        self._segment: Segment = {}
        self._size = 0
        self._left_out: frozenset[int] = frozenset()
        self._file: BinaryIO | None = None
        self.written: set[Relation] = set()
        """The tables of which it has written rows."""
        self.spilled_bytes = 0
        """How much of it is on disk."""

    def __bool__(self) -> bool:
        return bool(self._segment or self._file)

    @property
    def size_bytes(self) -> int:
        """How much of it is in memory."""
        return self._size

    def leave_out(self, relations: Iterable[Relation]) -> None:
        """What it did to the rows of these tables isn't applied."""
        self._left_out = frozenset(self._tables[relation].number for relation in relations)

    def put(self, change: Change) -> None:
        """Take a change in; 2 us for one of ten columns.

        Raises RejectedError, and takes nothing in, for a row whose key can't be read; one whose key
        of before couldn't be is a new row.
        """
        table = self._tables[change.relation]
        segment = self._segment.get(table.number)
        if segment is None:
            segment = self._segment[table.number] = TableSegment()
            self.written.add(change.relation)
        if change.kind is ChangeKind.TRUNCATE:
            self._segment[table.number] = segment = TableSegment()
            segment.truncated = True
        elif change.has_unchanged:
            self._put_odd(table, segment, change)
        else:
            self._put_plain(table, segment, change)
        if self._size > self._most:
            self._spill()

    def segments(self) -> Iterator[Segment]:
        """What is to be applied, one after the other; again from the beginning each time."""
        for segment in self._all_segments():
            for number in self._left_out:
                segment.pop(number, None)
            yield segment

    def _all_segments(self) -> Iterator[Segment]:
        if self._file is not None:
            self._file.seek(0)
            while self._file.tell() < self.spilled_bytes:
                yield _read(self._file)
        yield self._segment

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            give_back(self._file)

    def _put_plain(self, table: Table, segment: TableSegment, change: Change) -> None:
        if change.old is not None:
            self._set(segment, table.key_of(change.old), None)
        if change.new is not None:
            self._set(segment, table.key_of(change.new), table.pack(change.new, odd=False))

    def _put_odd(self, table: Table, segment: TableSegment, change: Change) -> None:
        new, old = change.new, change.old
        if new is not None and old is not None:
            new = _with_identity(table, new, old)
        try:
            old_key = None if old is None else table.key_of_odd(old)
        except RejectedError as error:
            self._put_alone(table, segment, new, error)
            return
        new_key = None if new is None else table.key_of_odd(new)
        before = new_key if old_key is None else old_key
        packed = origin = None
        if new is not None:
            packed = filled(table.pack(new, odd=True), segment.rows.get(before or b""))
            if is_incomplete(packed):
                origin = _origin(segment, before or b"")
        if old_key is not None:
            self._set(segment, old_key, None)
        if new_key is not None:
            self._set(segment, new_key, packed)
            if origin is not None:
                segment.origins[new_key] = origin

    def _put_alone(
        self, table: Table, segment: TableSegment, new: Row | None, error: RejectedError
    ) -> None:
        """Under its old key, which can't be read, nothing was kept: it is a new row, if all of it
        was sent. One that lacks a value would hold up every document that shows it.
        """  # noqa: D205 - one sentence
        packed = None if new is None else table.pack(new, odd=True)
        if new is None or packed is None or is_incomplete(packed):
            raise error
        self._set(segment, table.key_of_odd(new), packed)

    def _set(self, segment: TableSegment, key: bytes, packed: bytes | None) -> None:
        segment.rows[key] = packed
        if segment.origins:
            segment.origins.pop(key, None)
        self._size += ENTRY_OVERHEAD_BYTES + (len(packed) if packed is not None else 0)

    def _spill(self) -> None:
        require_room(self._folder, self.spilled_bytes + self._size, self._most_spilled)
        with spilling(self._folder):
            if self._file is None:
                self._file = spill_file(self._folder)
            _write(self._segment, self._file)
            self._file.flush()
        self.spilled_bytes = self._file.tell()
        self._segment, self._size = {}, 0


def _origin(segment: TableSegment, key: bytes) -> bytes | None:
    """Where the state has the row that has `key` now; None if it has none of it."""
    return segment.origins.get(key) if key in segment.rows else key


def _with_identity(table: Table, new: Row, old: Row) -> Row:
    """With values that were not sent, as far as the old row has them: its key, or all of it."""
    relation = table.relation
    whole = relation.replica_identity == "full"
    return [
        before if value is UNCHANGED and (whole or column.in_identity) else value
        for value, before, column in zip(new, old, relation.columns, strict=True)
    ]


def _write(segment: Segment, file: BinaryIO) -> None:
    """Sorted by key: that is how the state has them, and each of its pages is then met once."""
    for number, table in segment.items():
        marshal.dump((number, table.truncated, len(table.rows), table.origins), file)
        for entry in sorted(table.rows.items()):
            marshal.dump(entry, file)
    marshal.dump(None, file)


def _read(file: BinaryIO) -> Segment:
    segment: Segment = {}
    while (head := marshal.load(file)) is not None:  # noqa: S302 - a file of ours without a name
        number, truncated, count, origins = head
        table = segment[number] = TableSegment()
        table.truncated, table.origins = truncated, origins
        table.rows = dict(marshal.load(file) for _ in range(count))  # noqa: S302 - as above
    return segment
