"""Counters that follow each row that changes: what it added is taken away, what it adds is added.

A counter is the sum of what each path adds, from a row of the first table on the way to a counted
row. Paths that a change may alter are taken away as they are in the state before, and added as they
are in the state after; all others are the same in both.

New counters are counted once all rows are there (`recounting`), row by row: a path counts from the
moment when the row that it begins at has been.
"""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING, Final

from cdc_daemon.assembly import reads, tally
from cdc_daemon.assembly.climbing import Climb
from cdc_daemon.assembly.lookup import downwards, upwards
from cdc_daemon.assembly.roles import LevelRows, LinkRows
from cdc_daemon.assembly.roots import Node, Nodes, differ
from cdc_daemon.errors import RejectedError
from cdc_daemon.projection.joined.plan import levels_of
from cdc_daemon.state import Counter, is_odd, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from cdc_daemon.assembly.lookup import Found
    from cdc_daemon.projection.joined.plan import Embed, Level, Plan
    from cdc_daemon.state import Batch, Index, Store, Table

    Count: TypeAlias = "OwnCount | PathCount"
    Path: TypeAlias = "tuple[Found, ...]"

NOTHING: Final = b""
"""Below every key."""


class Slice:
    """Rows that are counted together, by all counts of rows that begin at them."""

    def __init__(self, found: Sequence[Found]) -> None:
        self.found = found
        self._groups: dict[Index, list[bytes | None]] = {}

    def groups(self, index: Index) -> list[bytes | None]:
        """In which group of an index each row is: asked once for all counts."""
        if index not in self._groups:
            self._groups[index] = [index.group_of(packed) for _, packed in self.found]
        return self._groups[index]


class OwnCount:
    """An aggregate of rows that are one step away, and add what they themselves say."""

    def __init__(self, embed: Embed, above: Level, store: Store) -> None:
        self._index = _index_of(embed, above, store)
        columns = reads.of_embedded(embed, above)
        self._table = store.tables[embed.level.relation]
        self.tables = {self._table.number}
        self._places = [self._table.place(name) for name in columns]
        self._rows = LevelRows(embed.level, columns, store)
        self._adds = _adds_of(embed, above, store)
        self._value_of = tally.value_of(embed)
        self._counts_all = embed.value is None and embed.level.where is None
        """Whether every row of a group is one more: it needn't be read."""
        self._place = _place_of_value(embed, self._table)
        self.names = _names_of(embed, above)
        self.first = self._table
        self.counted_to: bytes | None = None
        """Rows of `first` up to this key count; None: all."""

    def before(
        self, batch: Batch, table: Table, key: bytes, old: bytes | None, new: bytes | None
    ) -> None:
        """Nothing: what it added is known by the old row."""

    def after(
        self, batch: Batch, _table: Table, key: bytes, old: bytes | None, new: bytes | None
    ) -> None:
        """Take away what the old row added, add what the new one adds; at once where it can be."""
        if not differ(old, new, self._places) or not _is_counted(self, key):
            return
        gone, come = self._added(batch, old), self._added(batch, new)
        if gone is not None and come is not None and gone[0] == come[0]:
            moves = [now.plus(before.negated) for before, now in zip(gone[1], come[1], strict=True)]
            self._move(batch, come[0], moves)
            return
        if gone is not None:
            self._move(batch, gone[0], [one.negated for one in gone[1]])
        if come is not None:
            self._move(batch, *come)

    def count(self, batch: Batch, slice_: Slice) -> None:
        """Add what rows of `first` add, which have not counted yet."""
        groups = slice_.groups(self._index)
        if self._counts_all:
            for counted, rows in Tally(filter(None, groups)).items():
                self._move(batch, counted, [Counter(rows)])
            return
        for (_, packed), group in zip(slice_.found, groups, strict=True):
            if group is not None and (moves := self._moves(batch, packed)) is not None:
                self._move(batch, group, moves)

    def _added(self, batch: Batch, packed: bytes | None) -> tuple[bytes, list[Counter]] | None:
        """The group to which a row adds, and what to each counter; None where it adds nothing."""
        group = None if packed is None else self._index.group_of(packed)
        if packed is None or group is None:
            return None
        moves = self._moves(batch, packed)
        return None if moves is None else (group, moves)

    def _moves(self, batch: Batch, packed: bytes) -> list[Counter] | None:
        """What a row adds to each counter; None where it isn't one that counts."""
        if self._counts_all:
            return [tally.ONE]
        try:
            value = self._value(batch, packed)
            return None if value is None else [add(value) for _, add in self._adds]
        except RejectedError:
            return [tally.UNKNOWN] * len(self._adds)

    def _value(self, batch: Batch, packed: bytes) -> bytes | None:
        """What is counted of a row; None where it doesn't count."""
        if self._place is not None and not is_odd(packed):
            return value_at(packed, self._place)  # type: ignore[return-value]  # plain: bytes
        row = self._rows.counted(batch, packed)
        return None if row is None else self._value_of(row)

    def _move(self, batch: Batch, group: bytes, moves: list[Counter]) -> None:
        for (number, _), by in zip(self._adds, moves, strict=True):
            batch.counters.move(number, group, by)


class PathCount:
    """An aggregate over junctions, or of rows that add what others say as well."""

    def __init__(self, embed: Embed, above: Level, store: Store) -> None:
        self._index = _index_of(embed, above, store)
        columns = reads.of_embedded(embed, above)
        self._table = store.tables[embed.level.relation]
        self._rows = LevelRows(embed.level, columns, store)
        self._nodes = Nodes(embed.level, columns, store).of_table
        self._links = [Link(embed, at, store) for at in range(len(embed.steps) - 1)]
        self._adds = _adds_of(embed, above, store)
        self._value_of = tally.value_of(embed)
        links = (store.tables[step.relation].number for step in embed.steps[:-1])
        self.tables = {*self._nodes, *links}
        self.names = _names_of(embed, above)
        self.first = store.tables[embed.steps[0].relation]
        self.counted_to: bytes | None = None
        """Paths from rows of `first` up to this key count; None: all."""
        self._keys: set[bytes] = set()
        self._places: list[int] = []

    def before(
        self, batch: Batch, table: Table, key: bytes, old: bytes | None, new: bytes | None
    ) -> None:
        """The state still has the old row: take away what it added."""
        if self.counted_to == NOTHING:
            self._keys, self._places = set(), []
            return
        self._keys = set(self._counted_by(batch, table, key, old, new))
        self._places = [
            at for at, link in enumerate(self._links) if link.is_touched(table, old, new)
        ]
        self._move(batch, table, key, old, -1)

    def after(
        self, batch: Batch, table: Table, key: bytes, _old: bytes | None, new: bytes | None
    ) -> None:
        """The state has the new row: add what it adds."""
        self._move(batch, table, key, new, 1)

    def _counted_by(
        self, batch: Batch, table: Table, key: bytes, old: bytes | None, new: bytes | None
    ) -> Iterator[bytes]:
        """The keys of counted rows that are read with this one, as it was or as it is."""
        climb = Climb(batch, Node.exists)
        for node in self._nodes.get(table.number, ()):
            if not node.is_touched(old, new):
                continue
            if node.above is None:
                yield key
                continue
            for row in (old, new):
                for found, _ in () if row is None else climb.up(node, row):
                    batch.look_up()
                    yield found

    def _move(
        self, batch: Batch, table: Table, key: bytes, packed: bytes | None, sign: int
    ) -> None:
        if not (self._keys or self._places):
            return
        for path in self._paths(batch, table, key, packed):
            if _is_counted(self, path[0][0]):
                self._move_path(batch, path, sign)

    def _move_path(self, batch: Batch, path: Path, sign: int) -> None:
        group = self._index.group_of(path[0][1])
        if group is not None:
            for number, by in self._added(batch, path):
                batch.counters.move(number, group, by if sign > 0 else by.negated)

    def count(self, batch: Batch, one: Found) -> None:
        """Add what the paths from a row of `first` add, which has not counted yet."""
        for tail in self._tails(batch, one, 0):
            self._move_path(batch, (one, *tail), 1)

    def _added(self, batch: Batch, path: Path) -> Iterator[tuple[int, Counter]]:
        """What one path adds to each counter."""
        try:
            links = zip(self._links, path, strict=False)
            if not all(link.rows.links(found[1]) for link, found in links):
                return
            row = self._rows.counted(batch, path[-1][1])
            value = None if row is None else self._value_of(row)
            moves = [] if value is None else [(number, add(value)) for number, add in self._adds]
        except RejectedError:
            moves = [(number, tally.UNKNOWN) for number, _ in self._adds]
        yield from moves

    def _paths(
        self, batch: Batch, table: Table, key: bytes, packed: bytes | None
    ) -> Iterator[Path]:
        """Those to a counted row that is read with the row of this key, and those over it."""
        for counted in self._keys:
            batch.look_up()
            is_own = counted == key and table is self._table
            row = packed if is_own else self._table.row(batch.txn, counted)
            if row is not None:
                yield from self._heads(batch, (counted, row), len(self._links))
        if packed is None:
            return
        seen = set()
        for at in self._places:
            for path in self._over(batch, (key, packed), at):
                batch.look_up()
                keys = tuple(one for one, _ in path)
                if keys[-1] not in self._keys and keys not in seen:
                    seen.add(keys)
                    yield path

    def _over(self, batch: Batch, found: Found, at: int) -> Iterator[Path]:
        for head in self._heads(batch, found, at):
            for tail in self._tails(batch, found, at):
                yield (*head, *tail)

    def _heads(self, batch: Batch, found: Found, at: int) -> Iterator[Path]:
        """From the first table on the way to this row, which is at that place."""
        if at == 0:
            yield (found,)
            return
        for near in self._links[at - 1].up(batch, found[1]):
            batch.look_up()
            for head in self._heads(batch, near, at - 1):
                yield (*head, found)

    def _tails(self, batch: Batch, found: Found, at: int) -> Iterator[Path]:
        """From behind this row, which is at that place, to counted rows."""
        if at == len(self._links):
            yield ()
            return
        for far in self._links[at].down(batch, found[1]):
            batch.look_up()
            for tail in self._tails(batch, far, at + 1):
                yield (far, *tail)


class Link:
    """A junction on the way, and the ways to and from what lies behind it."""

    def __init__(self, embed: Embed, at: int, store: Store) -> None:
        step, behind = embed.steps[at], embed.steps[at + 1]
        self.rows = LinkRows(step, store)
        self.down = downwards(behind, step.relation).bound(store)
        self.up = upwards(behind, step.relation).bound(store)
        self._table = store.tables[step.relation]
        self._places = [self._table.place(name) for name in reads.of_link(embed, at)]

    def is_touched(self, table: Table, old: bytes | None, new: bytes | None) -> bool:
        """Whether a row of `table` is one of it, and changes in what it reads."""
        return table is self._table and differ(old, new, self._places)


def _is_counted(count: Count, key: bytes) -> bool:
    """Whether paths from the row of that key count by now."""
    return count.counted_to is None or key <= count.counted_to


def _names_of(embed: Embed, above: Level) -> tuple[str, ...]:
    return tuple(name for name, _ in tally.counters_of(embed, above))


def _place_of_value(embed: Embed, table: Table) -> int | None:
    """Where the value is in a packed row, if that is all that is read of it."""
    value = embed.value
    if embed.level.where is not None or value is None or value.expression is not None:
        return None
    place = value.part.place
    return None if place is None else table.place(embed.level.relation.columns[place].name)


def _index_of(embed: Embed, above: Level, store: Store) -> Index:
    """Its groups are those of the counters."""
    wanted = downwards(embed.steps[0], above.relation).wanted
    assert wanted is not None  # noqa: S101 - `tally.is_kept`
    return store.indexes[wanted.text]


def _adds_of(
    embed: Embed, above: Level, store: Store
) -> list[tuple[int, Callable[[bytes], Counter]]]:
    numbers = store.schema.aggregates
    return [(numbers[name].number, add) for name, add in tally.counters_of(embed, above)]


def counts(plans: Sequence[Plan], store: Store) -> dict[int, list[Count]]:
    """All that are kept, each once, by the numbers of the tables that move them."""
    found = {
        _names_of(embed, level): (embed, level)
        for plan in plans
        for level in levels_of(plan.root)
        for embed in level.embeds
        if tally.is_kept(embed, level)
    }
    by_table: dict[int, list[Count]] = {}
    for embed, level in found.values():
        is_own = len(embed.steps) == 1 and not embed.level.borrowed
        count = (OwnCount if is_own else PathCount)(embed, level, store)
        for number in count.tables:
            by_table.setdefault(number, []).append(count)
    return by_table
