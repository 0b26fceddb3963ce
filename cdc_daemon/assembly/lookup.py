"""From a row to the rows of another table that are equal in some columns: by key or index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from cdc_daemon.events import ColumnType
from cdc_daemon.state import IndexWanted, Part, identity_of, value_at, values_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cdc_daemon.events import Relation
    from cdc_daemon.projection.joined.plan import Step
    from cdc_daemon.state import Batch, Index, Table, View

    Found: TypeAlias = "tuple[bytes, bytes]"
    """A row: its key and its values, packed."""

    Find: TypeAlias = "Callable[[Batch, bytes], Iterator[Found]]"
    """From a packed row to those that are equal to it."""

    FindRows: TypeAlias = "Callable[[Batch, bytes], Iterable[bytes]]"
    """The same without their keys."""

_NUMERIC: Final = ColumnType("numeric")
_INTEGERS: Final = frozenset({"int2", "int4", "int8"})


class Order(NamedTuple):
    """In which order rows are found."""

    parts: tuple[Part, ...]
    """Then follows their key."""
    reverse: bool = False
    """From the last to the first."""


NO_ORDER: Final = Order(())


@dataclass(frozen=True, slots=True)
class Lookup:
    """The rows of `end` that are equal to a row of `start`."""

    start: Relation
    end: Relation
    pairs: tuple[tuple[str, str], ...]
    """Columns of `end`, each with the column of `start` that it is equal to."""
    order: Order = NO_ORDER

    @property
    def wanted(self) -> IndexWanted | None:
        """The index that it needs; None where rows are found by their key."""
        if self._is_by_key:
            return None
        return IndexWanted(self.end.qualified_name, self._group, self.order.parts)

    @property
    def _is_by_key(self) -> bool:
        columns = [name for name, _ in self.pairs]
        if sorted(columns) != sorted(identity_of(self.end)):
            return False
        return all(part.type == _type_of(self.end, part.column) for part in self._group)

    @property
    def _group(self) -> tuple[Part, ...]:
        return tuple(
            Part(name, _compared_as(_type_of(self.end, name), _type_of(self.start, other)))
            for name, other in self.pairs
        )

    def bound(self, store: View) -> Find:
        """The function that finds them."""
        start, end = store.tables[self.start], store.tables[self.end]
        wanted = self.wanted
        if wanted is not None:
            places = [start.place(other) for _, other in self.pairs]
            return partial(_by_index, store.indexes[wanted.text], places, self.order.reverse)
        others = dict(self.pairs)
        places = [start.place(others[name]) for name in identity_of(self.end)]
        return partial(_by_key, end, places)

    def rows(self, store: View, *, all_at_once: bool) -> FindRows:
        """The same for who needs no keys; faster where all are taken."""
        find, wanted = self.bound(store), self.wanted
        if wanted is None or self.order.reverse or not all_at_once:
            return lambda batch, packed: (row for _, row in find(batch, packed))
        start = store.tables[self.start]
        places = [start.place(other) for _, other in self.pairs]
        return partial(_rows_by_index, store.indexes[wanted.text], places)


class Hop:
    """A lookup whose rows may be many: they can be had in parts."""

    def __init__(self, lookup: Lookup, store: View) -> None:
        self.find = lookup.bound(store)
        start, end = store.tables[lookup.start], store.tables[lookup.end]
        wanted = lookup.wanted
        self._index = None if wanted is None else store.indexes[wanted.text]
        self._places = [start.place(other) for _, other in lookup.pairs]
        self._end = end

    def group(self, packed: bytes) -> bytes | None:
        """The group of the rows that are equal to this one; None where one is at most."""
        return None if self._index is None else self._index.group(values_at(packed, self._places))

    def keys(self, batch: Batch, group: bytes) -> Iterator[bytes]:
        """Those of the rows of a group."""
        return iter(()) if self._index is None else self._index.keys(batch.txn, group)

    def entries(self, batch: Batch, group: bytes, begin: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Where each row of a group is, from `begin` on, and its key."""
        return iter(()) if self._index is None else self._index.entries(batch.txn, group, begin)

    def rows(self, batch: Batch, keys: Iterable[bytes]) -> Iterator[Found]:
        """The rows of these keys that are there."""
        for key in keys:
            row = self._end.row(batch.txn, key)
            if row is not None:
                yield key, row


def downwards(step: Step, near: Relation, order: Order = NO_ORDER) -> Lookup:
    """From a row of `near` to those that the step leads to."""
    return Lookup(near, step.relation, step.pairs, order)


def upwards(step: Step, near: Relation) -> Lookup:
    """From a row that the step leads to, to those of `near` that it is reached from."""
    return Lookup(step.relation, near, tuple((nearer, name) for name, nearer in step.pairs))


def _type_of(relation: Relation, column: str) -> ColumnType:
    return relation.columns[relation.index_of(column)].type


def _compared_as(type_: ColumnType, other: ColumnType) -> ColumnType:
    """As which type both have the same bytes when they are equal."""
    names = {type_.base.name, other.base.name}
    return _NUMERIC if "numeric" in names and names & _INTEGERS else type_


def _by_index(
    index: Index,
    places: Sequence[int],
    reverse: bool,  # noqa: FBT001 - bound once
    batch: Batch,
    packed: bytes,
) -> Iterator[Found]:
    group = index.group(values_at(packed, places))
    if group is None:
        return
    get, database = batch.txn.get, index.table.database
    for key in index.keys(batch.txn, group, reverse=reverse):
        row = get(key, db=database)
        if row is not None:
            yield key, row


def _rows_by_index(
    index: Index, places: Sequence[int], batch: Batch, packed: bytes
) -> Iterable[bytes]:
    group = index.group([value_at(packed, place) for place in places])
    return () if group is None else index.rows(batch.txn, group)


def _by_key(table: Table, places: Sequence[int], batch: Batch, packed: bytes) -> Iterator[Found]:
    key = table.key([value_at(packed, place) for place in places])
    row = None if key is None else table.row(batch.txn, key)
    if key is not None and row is not None:
        yield key, row
