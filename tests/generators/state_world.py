"""Random histories of two tables, as the stream brings them, and what the state must be after each.

A world is the naive model: dictionaries of rows. Its changes leave out values that are stored out
of line and didn't change, and name a row by its old key only where that changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from cdc_daemon.events import UNCHANGED, Change, ChangeKind, Column, ColumnType, Relation
from cdc_daemon.state import AggregateWanted, IndexWanted, Part, Wanted
from cdc_daemon.state.counters import counted
from cdc_daemon.state.rows import unpack, value_at

if TYPE_CHECKING:
    from random import Random

    from cdc_daemon.events import Row, Value
    from cdc_daemon.state import Batch, Store, Table

INT = ColumnType("int4")
TEXT = ColumnType("text")
NUMERIC = ColumnType("numeric")
PARENT = Relation(
    "public",
    "parent",
    (Column("id", INT, in_identity=True), Column("name", TEXT)),
    primary_key=("id",),
)
CHILD = Relation(
    "public",
    "child",
    (
        Column("code", TEXT, in_identity=True),
        Column("line", INT, in_identity=True),
        Column("parent_id", INT),
        Column("price", NUMERIC),
        Column("note", TEXT, out_of_line=True),
    ),
    primary_key=("code", "line"),
)
CHILDREN = IndexWanted(
    "public.child",
    (Part("parent_id", INT),),
    (Part("price", NUMERIC, descending=True, nulls_first=True),),
)
SUM = AggregateWanted("sum of prices", ("public.child",))
WANTED = Wanted((PARENT, CHILD), (CHILDREN,), (SUM,), ("parents",))
PARENTS = 6
LONG_CODE = "x" * 300

Key = tuple[bytes, ...]


@dataclass
class World:
    """What the rows are."""

    rng: Random
    parents: dict[Key, Row] = field(default_factory=dict)
    children: dict[Key, Row] = field(default_factory=dict)

    def transaction(self) -> list[Change]:
        """Some changes, one after the other."""
        return [
            change for _ in range(self.rng.choice([1, 1, 2, 5, 20])) for change in self._change()
        ]

    def _change(self) -> list[Change]:
        actions = [self._insert, self._update, self._update, self._delete, self._move, self._swap]
        if self.rng.random() < 0.02:
            return self._truncate()
        return self.rng.choice([*actions, self._parent])()

    def _key(self) -> Key:
        code = self.rng.choice(["a", "b", LONG_CODE, LONG_CODE + "y"])
        return (b'"%b"' % code.encode(), b"%d" % self.rng.randrange(8))

    def _parent_id(self) -> bytes:
        return self.rng.choice([b"null", *(b"%d" % n for n in range(PARENTS))])

    def _price(self) -> bytes:
        return self.rng.choice([b"null", b"1.50", b"1.5", b"-2", b"0.001", b"12345678901234567890"])

    def _note(self) -> bytes:
        return b'"%b"' % (b"n" * self.rng.choice([0, 3, 200]) + b"%d" % self.rng.randrange(99))

    def _insert(self) -> list[Change]:
        key = self._key()
        if key in self.children:
            return []
        row: Row = [*key, self._parent_id(), self._price(), self._note()]
        self.children[key] = row
        return [Change(CHILD, ChangeKind.INSERT, list(row))]

    def _some(self) -> Key | None:
        return self.rng.choice(sorted(self.children)) if self.children else None

    def _update(self) -> list[Change]:
        key = self._some()
        if key is None:
            return []
        return [self._moved(key, key)]

    def _moved(self, key: Key, to: Key) -> Change:
        row = self.children.pop(key)
        note: Value = row[4] if self.rng.random() < 0.6 else self._note()
        new: Row = [*to, self._parent_id(), self._price(), note]
        self.children[to] = new
        sent: Row = [*new[:4], UNCHANGED if note == row[4] else note]
        old: Row | None = None if key == to else [*key, b"null", b"null", b"null"]
        return Change(CHILD, ChangeKind.UPDATE, sent, old, has_unchanged=UNCHANGED in sent)

    def _move(self) -> list[Change]:
        key, to = self._some(), self._key()
        return [] if key is None or to in self.children else [self._moved(key, to)]

    def _swap(self) -> list[Change]:
        """By a third key: no two rows have one key at any time."""
        one, other = self._some(), self._some()
        if one is None or other is None or one == other:
            return []
        aside = (b'"aside"', b"0")
        return [self._moved(one, aside), self._moved(other, one), self._moved(aside, other)]

    def _delete(self) -> list[Change]:
        key = self._some()
        if key is None:
            return []
        del self.children[key]
        return [Change(CHILD, ChangeKind.DELETE, None, [*key, b"null", b"null", b"null"])]

    def _parent(self) -> list[Change]:
        key = b"%d" % self.rng.randrange(PARENTS)
        there = (key,) in self.parents
        if there and self.rng.random() < 0.5:
            del self.parents[key,]
            return [Change(PARENT, ChangeKind.DELETE, None, [key, b"null"])]
        row: Row = [key, self._note()]
        self.parents[key,] = row
        kind = ChangeKind.UPDATE if there else ChangeKind.INSERT
        return [Change(PARENT, kind, list(row))]

    def _truncate(self) -> list[Change]:
        self.children.clear()
        return [Change(CHILD, ChangeKind.TRUNCATE)]


class Sums:
    """Keeps the sum of the prices of each parent's children, and marks the parent as pending."""

    def __init__(self, store: Store, batch: Batch) -> None:
        self._index = store.indexes[CHILDREN.text]
        self._aggregate = store.schema.aggregates[SUM.text].number
        self._batch = batch

    def before(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """Take away what the row added."""
        del key, new
        if old is not None and table.relation is CHILD:
            self._move(old, -1)

    def after(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """Add what it adds."""
        del key, old
        if new is not None and table.relation is CHILD:
            self._move(new, 1)

    def _move(self, row: bytes, sign: int) -> None:
        group = self._index.group_of(row)
        if group is not None:
            by = counted(value_at(row, 3))
            self._batch.counters.move(self._aggregate, group, by if sign > 0 else by.negated)


def assert_is(store: Store, world: World) -> None:
    """The state holds what the world does: rows, groups in order, sums."""
    store.read(lambda batch: _compare(store, batch, world))


def _compare(store: Store, batch: Batch, world: World) -> None:
    for relation, rows in ((PARENT, world.parents), (CHILD, world.children)):
        table = store.tables[relation]
        with batch.txn.cursor(table.database) as cursor:
            kept = {key: unpack(row) for key, row in cursor.iternext(keys=True, values=True)}
        assert kept == {table.key_of(row): row for row in rows.values()}
    table, index = store.tables[CHILD], store.indexes[CHILDREN.text]
    for parent in (b"%d" % n for n in range(PARENTS)):
        group = index.group([parent])
        assert group is not None
        own = [row for row in world.children.values() if row[2] == parent]
        own.sort(key=lambda row: (row[0], int(row[1])))  # type: ignore[arg-type]  # JSON
        own.sort(
            key=lambda row: Decimal("inf") if row[3] == b"null" else _number(row), reverse=True
        )
        assert list(index.keys(batch.txn, group)) == [table.key_of(row) for row in own]
        counter = batch.counters.get(store.schema.aggregates[SUM.text].number, group)
        prices = [_number(row) for row in own if row[3] != b"null"]
        assert (counter.rows, counter.values) == (len(own), len(prices))
        assert counter.total == (sum(prices) if prices else None)


def _number(row: Row) -> Decimal:
    price = row[3]
    assert isinstance(price, bytes)
    return Decimal(price.decode())
