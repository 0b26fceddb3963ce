"""The roles that a table has in a plan, and the way from each up to the rows of the root.

A role is a node; nodes lead upwards by the lookups that assembly goes down. What two embeds ask in
the same way is one node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from cdc_daemon.assembly import reads
from cdc_daemon.assembly.lookup import Lookup, upwards
from cdc_daemon.assembly.roles import LevelRows, LinkRows
from cdc_daemon.state import value_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from cdc_daemon.assembly.lookup import Found
    from cdc_daemon.events import Relation
    from cdc_daemon.projection.joined.plan import Embed, Level
    from cdc_daemon.state import Batch, Store

    Seen: TypeAlias = "set[tuple[Node, bytes]]"
    """Rows that were met on the way up, each in its role."""


class Rows(Protocol):
    """What a node knows of its rows."""

    def may_count(self, batch: Batch, packed: bytes) -> bool:
        """Whether `where` includes the row, or can't be told."""


class Node:
    """The rows of a table in one role."""

    def __init__(self, relation: Relation, rows: Rows, *, borrows: bool, store: Store) -> None:
        self.relation = relation
        self.above: Node | None = None
        self.borrows: Final = borrows
        """Whether `where` reads other rows than its own."""
        self._rows = rows
        self._table = store.tables[relation]
        self._places: tuple[int, ...] = ()
        self._link_places: tuple[int, ...] = ()

    def put_under(self, above: Node, up: Lookup, store: Store) -> None:
        """From here `up` leads to the rows of `above`."""
        self.above = above
        self._find = up.bound(store)
        self._link_places = tuple(self._table.place(name) for _, name in up.pairs)

    def read(self, columns: set[str]) -> None:
        """These columns matter."""
        places = {self._table.place(name) for name in columns}
        self._places = tuple(sorted(places.union(self._places)))

    @property
    def is_settled(self) -> bool:
        """Whether the way up from a row is the same before and after the row changes.

        So it is where no `where` on it reads rows below. A way over the row itself also begins
        there, in another role of the row.
        """
        return not self.borrows and (self.above is None or self.above.is_settled)

    def is_touched(self, old: bytes | None, new: bytes | None) -> bool:
        """Whether anything that matters is another than before."""
        return differ(old, new, self._places)

    def is_moved(self, old: bytes, new: bytes) -> bool:
        """Whether the row belongs to others than before."""
        return differ(old, new, self._link_places)

    def may_count(self, batch: Batch, packed: bytes) -> bool:
        """Whether the row counts by itself."""
        return self.borrows or self._rows.may_count(batch, packed)

    def climb(
        self, batch: Batch, packed: bytes, seen: Seen, *, every: bool = False
    ) -> Iterator[Found]:
        """The rows of the root that a row is read with, as the state is; none that is in `seen`.

        Only over rows that count, unless `every`. Many ways may lead over one row, and are gone on
        with once.
        """
        above = self.above
        if above is None:
            return
        for found in self._find(batch, packed):
            here = (above, found[0])
            if here in seen:
                continue
            seen.add(here)
            if not (every or above._rows.may_count(batch, found[1])):  # noqa: SLF001 - of the same class
                continue
            if above.above is None:
                yield found
            else:
                yield from above.climb(batch, found[1], seen, every=every)


def differ(old: bytes | None, new: bytes | None, places: Iterable[int]) -> bool:
    """Whether a row has other values there than before, or comes or goes."""
    if old is None or new is None:
        return True
    for place in places:  # noqa: SIM110 - `any` takes twice as long, and each change comes here
        if value_at(old, place) != value_at(new, place):
            return True
    return False


class Nodes:
    """All nodes of a level, as the root, and of what lies below."""

    def __init__(self, level: Level, columns: set[str], store: Store) -> None:
        self._store = store
        self._known: dict[tuple[Node, Lookup, object], Node] = {}
        self.of_table: dict[int, list[Node]] = {}
        """By the number of the table."""
        root = self._level_node(level, columns)
        self._add(root)
        self._below(level, root)
        self.settled = {node for some in self.of_table.values() for node in some if node.is_settled}

    def _below(self, level: Level, node: Node) -> None:
        for embed in level.embeds:
            below = self._embed(embed, level, node)
            self._below(embed.level, below)

    def _embed(self, embed: Embed, above: Level, node: Node) -> Node:
        near = above.relation
        for at, step in enumerate(embed.steps[:-1]):
            link = Node(
                step.relation, LinkRows(step, self._store), borrows=False, store=self._store
            )
            where = None if step.where is None else step.where.sql
            node = self._known_or(link, node, upwards(step, near), where)
            node.read(reads.of_link(embed, at))
            near = step.relation
        columns = reads.of_embedded(embed, above)
        found = self._level_node(embed.level, columns)
        where = embed.level.where.sql if embed.level.where else None
        alike = found if found.borrows else where
        node = self._known_or(found, node, upwards(embed.steps[-1], near), alike)
        node.read(columns)
        return node

    def _known_or(self, node: Node, above: Node, up: Lookup, alike: object) -> Node:
        known = self._known.setdefault((above, up, alike), node)
        if known is node:
            node.put_under(above, up, self._store)
            self._add(node)
        return known

    def _level_node(self, level: Level, columns: set[str]) -> Node:
        own = {column.name for column in level.relation.columns}
        borrows = level.where is not None and not own.issuperset(level.where.columns)
        rows = LevelRows(level, columns, self._store)
        node = Node(level.relation, rows, borrows=borrows, store=self._store)
        node.read(columns)
        return node

    def _add(self, node: Node) -> None:
        number = self._store.tables[node.relation].number
        self.of_table.setdefault(number, []).append(node)
