"""A table and an index of the state at work: from rows to keys and entries, and back to rows."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import ConfigurationError, RejectedError
from cdc_daemon.events import Unreadable
from cdc_daemon.state.environment import put_all
from cdc_daemon.state.keys import (
    Entry,
    after,
    entry,
    group_key,
    in_order,
    is_cut,
    row_key,
    row_key_of,
)
from cdc_daemon.state.ordering import inverted, key_encoder, order_encoder
from cdc_daemon.state.rows import differ, pack, pack_odd, value_at, values_at
from cdc_daemon.values.scalars import NULL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cdc_daemon.events import Relation, Row, Value
    from cdc_daemon.state.environment import Database, Transaction
    from cdc_daemon.state.schema import IndexWanted, Part, TableKept
    from cdc_daemon.values import Encoder

_BELOW: Final = b"\0"
_BETWEEN: Final = b"\1"
_ABOVE: Final = b"\2"
"""NULL sorts below or above all values, which begin with what is between."""


class Table:
    """The rows of one relation, by their key."""

    def __init__(self, relation: Relation, kept: TableKept, database: Database) -> None:
        self.relation = relation
        self.number = kept.number
        self.database = database
        self.indexes: list[Index] = []
        self._key = kept.key
        names = [name for name, _ in kept.columns]
        own = [column.name for column in relation.columns]
        self._places = {name: place for place, name in enumerate(names) if name}
        self._from = None if names == own else [own.index(n) if n else -1 for n in names]
        types = {column.name: column.type for column in relation.columns}
        encoders = [key_encoder(types[name]) for name in kept.key]
        self._whole_key_of_row = _key_maker([own.index(name) for name in kept.key], encoders)
        self._key_places = [self.place(name) for name in kept.key]
        self._whole_key = _key_maker(range(len(kept.key)), encoders)

    def keeps(self, column: str) -> bool:
        """Whether rows are kept with this column: others of the relation only others read."""
        return column in self._places

    def place(self, column: str) -> int:
        """Where a column is in a packed row."""
        return self._places[column]

    def key_of(self, row: Row) -> bytes:
        """The key of a row as the stream has it. Raises RejectedError for one that can't be."""
        return row_key(self._whole_key_of_row(row))

    def key_of_odd(self, row: Row) -> bytes:
        """As `key_of`, of a row whose values need not be JSON."""
        for column, value in zip(self.relation.columns, row, strict=True):
            if isinstance(value, Unreadable) and column.name in self._key:
                raise RejectedError(value.reason, f"column {column.name}: {value.explanation}")
        return self.key_of(row)

    def pack(self, row: Row, *, odd: bool) -> bytes:
        """A row as the stream has it, as it is kept."""
        if self._from is not None:
            row = [row[place] if place >= 0 else NULL for place in self._from]
        return pack_odd(row) if odd else pack(row)  # type: ignore[arg-type]  # plain: all are bytes

    def load(self, row: Row, *, odd: bool) -> tuple[bytes, bytes]:
        """Key and packed form of an existing row, as `Window` wants its documents."""
        key = self.key_of_odd(row) if odd else self.key_of(row)
        return key, self.pack(row, odd=odd)

    def whole_key(self, key: bytes, packed: bytes) -> bytes:
        """All of the key of a row, whatever its length."""
        return self._whole_key(self.key_values(packed)) if is_cut(key) else key

    def key_values(self, packed: bytes) -> list[Value]:
        """The values of a row in its key columns."""
        return values_at(packed, self._key_places)

    def key(self, values: Sequence[Value]) -> bytes | None:
        """The key of the row with these values in its key columns (of the same types, or integers
        of another width), there or not; None where one is NULL, which equals nothing, or not known.
        """  # noqa: D205 - one sentence
        if not all(isinstance(value, bytes) and not _is_null(value) for value in values):
            return None
        return row_key(self._whole_key(values))

    def row(self, txn: Transaction, key: bytes) -> bytes | None:
        """The row of that key, packed."""
        return txn.get(key, db=self.database)

    def add(self, txn: Transaction, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Put rows in, and their entries, where there is none of these keys."""
        put_all(txn, self.database, [*rows])
        for index in self.indexes:
            index.add(txn, rows)

    def after(self, txn: Transaction, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows behind that key, packed, each with its own, in the order of keys."""
        with txn.cursor(self.database) as cursor:
            there = cursor.set_range(key) if key else cursor.first()
            if there and cursor.key() == key:
                there = cursor.next()
            if there:
                yield from cursor.iternext(keys=True, values=True)


def _key_maker(
    places: Sequence[int], encoders: Sequence[Encoder]
) -> Callable[[Sequence[Value]], bytes]:
    if len(places) == 1:
        place, encode = places[0], encoders[0]
        return lambda row: encode(row[place])  # type: ignore[arg-type]  # key values are JSON
    pairs = list(zip(places, encoders, strict=True))
    return lambda row: b"".join([encode(row[place]) for place, encode in pairs])  # type: ignore[arg-type]  # as above


class Index:
    """The rows of a table by the values of some columns, in order."""

    def __init__(self, wanted: IndexWanted, table: Table, database: Database) -> None:
        self.table = table
        self.database = database
        self._group_places = [table.place(part.column) for part in wanted.group]
        self._group_encoders = [key_encoder(part.type) for part in wanted.group]
        self._order = [(table.place(part.column), ordered(part)) for part in wanted.order]
        self._places = [*self._group_places, *(place for place, _ in self._order)]

    def group(self, values: Sequence[Value]) -> bytes | None:
        """What the entries of those values begin with; None where one is NULL, or not known."""
        if len(values) == 1:
            return self._group_of_one(values[0])
        whole = b""
        for encode, value in zip(self._group_encoders, values, strict=True):
            if not isinstance(value, bytes) or _is_null(value):
                return None
            whole += encode(value)
        return group_key(whole)

    def group_of(self, packed: bytes) -> bytes | None:
        """The group that a row is in, if any."""
        if len(self._group_places) > 1:
            return self.group(values_at(packed, self._group_places))
        return self._group_of_one(value_at(packed, self._group_places[0]))

    def _group_of_one(self, value: Value) -> bytes | None:
        """Of one column, as nearly all are: half the time."""
        if not isinstance(value, bytes) or (value == NULL and type(value) is bytes):
            return None
        return group_key(self._group_encoders[0](value))

    def entry_of(self, key: bytes, packed: bytes) -> Entry | None:
        """The entry of a row, if it has one."""
        group = self.group_of(packed)
        if group is None:
            return None
        order = b""
        for place, encode in self._order:
            order += encode(value_at(packed, place))
        return entry(group, order, key, self.table.whole_key(key, packed))

    def add(self, txn: Transaction, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Put the entries of rows in that have none yet."""
        entries = (self.entry_of(key, packed) for key, packed in rows)
        put_all(txn, self.database, [entry for entry in entries if entry is not None])

    def move(self, txn: Transaction, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """A row has changed: its entry follows. 0.5 us where none of its columns has."""
        if old is not None and new is not None and not differ(old, new, self._places):
            return
        before = None if old is None else self.entry_of(key, old)
        now = None if new is None else self.entry_of(key, new)
        if before == now:
            return
        if before is not None:
            txn.delete(before[0], db=self.database)
        if now is not None:
            txn.put(*now, db=self.database)

    def keys(
        self, txn: Transaction, group: bytes, *, most: int | None = None, reverse: bool = False
    ) -> Iterator[bytes]:
        """The keys of the rows of a group, in order; the last ones first if `reverse`."""
        read = _backward if reverse else _forward
        entries = read(txn, self.database, group)
        return islice(in_order(entries, len(group), reverse=reverse), most)

    def entries(
        self, txn: Transaction, group: bytes, begin: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Each entry of a group, from `begin` on, and the key of its row; in the order of LMDB."""
        for key, value in _forward(txn, self.database, group, begin):
            yield key, row_key_of(key, value)

    def rows(self, txn: Transaction, group: bytes, *, most: int | None = None) -> list[bytes]:
        """The rows of a group, packed, in order: 1 us each."""
        get, database = txn.get, self.table.database
        keys = self.keys(txn, group, most=most)
        return [row for key in keys if (row := get(key, db=database)) is not None]


def _forward(
    txn: Transaction, database: Database, group: bytes, begin: bytes = b""
) -> Iterator[tuple[bytes, bytes]]:
    with txn.cursor(database) as cursor:
        if cursor.set_range(begin or group):
            for key, value in cursor.iternext(keys=True, values=True):
                if not key.startswith(group):
                    return
                yield key, value


def _backward(txn: Transaction, database: Database, group: bytes) -> Iterator[tuple[bytes, bytes]]:
    end = after(group)
    with txn.cursor(database) as cursor:
        there = cursor.last() if end is None or not cursor.set_range(end) else cursor.prev()
        if there:
            for key, value in cursor.iterprev(keys=True, values=True):
                if not key.startswith(group):
                    return
                yield key, value


def _is_null(value: Value) -> bool:
    """NaN is null in JSON, but a value."""
    return value == NULL and type(value) is bytes


def ordered(part: Part) -> Callable[[Value], bytes]:
    """From a value to bytes that sort as SQL's ORDER BY does; what isn't known is as NULL."""
    encode = order_encoder(part.type)
    if encode is None:
        raise ConfigurationError(
            f"rows can't be ordered by column {part.column}: the order of type "
            f"{part.type.declared or part.type.name} can't be told from the text of its values"
        )
    null = _BELOW if part.nulls_first else _ABOVE

    def place_of(value: Value) -> bytes:
        if not isinstance(value, bytes) or _is_null(value):
            return null
        place = encode(value)
        return _BETWEEN + (inverted(place) if part.descending else place)

    return place_of
