"""The roles that a table has in a plan, each with the next step of its way up to the root.

A role is a node; nodes lead upwards by the lookups that assembly goes down. What two embeds ask in
the same way is one node.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from cdc_daemon.assembly import reads
from cdc_daemon.assembly.lookup import Hop, Lookup, upwards
from cdc_daemon.assembly.roles import LevelRows, LinkRows
from cdc_daemon.state import WAY_BYTES, values_differ

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdc_daemon.events import Relation
    from cdc_daemon.projection.expressions import CompiledExpression
    from cdc_daemon.projection.joined.plan import Embed, Level
    from cdc_daemon.state import Batch, View


class Rows(Protocol):
    """What a node knows of its rows."""

    def may_count(self, batch: Batch, packed: bytes) -> bool:
        """Whether `where` includes the row, or can't be told."""


class Node:
    """The rows of a table in one role."""

    hop: Hop
    """The step to the rows above; the root has none."""

    def __init__(
        self, relation: Relation, rows: Rows, where: CompiledExpression | None, store: View
    ) -> None:
        self.relation = relation
        self.above: Node | None = None
        self.where: Final = None if where is None else where.sql
        own = {column.name for column in relation.columns}
        self.borrows: Final = where is not None and not own.issuperset(where.columns)
        """Whether `where` reads other rows than its own."""
        self.path: tuple[str, ...] = ()
        """The tables on the way up, each with the columns that lead there, for people."""
        self.way = b""
        """What tells the way up from others, also after a restart."""
        self._rows = rows
        self._table = store.tables[relation]
        self._places: tuple[int, ...] = ()
        self._link_places: tuple[int, ...] = ()

    def put_under(self, above: Node, up: Lookup, store: View) -> None:
        """From here `up` leads to the rows of `above`."""
        self.above = above
        self.hop = Hop(up, store)
        self.way = _way(above, up)
        columns = ", ".join(f"{name} = {other}" for name, other in up.pairs)
        self.path = (f"{up.end.qualified_name} ({columns})", *above.path)
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

    def counts(self, batch: Batch, packed: bytes) -> bool:
        """Whether `where` includes the row in the state as it is, or can't be told."""
        return self._rows.may_count(batch, packed)

    def may_count(self, batch: Batch, packed: bytes) -> bool:
        """Whether the row counts by itself: whatever other rows are, or were."""
        return self.borrows or self._rows.may_count(batch, packed)

    def exists(self, _batch: Batch, _packed: bytes) -> bool:
        """True: the row is there."""
        return True


def _way(above: Node, up: Lookup) -> bytes:
    """All that a climb in a later state depends on."""
    where = None if above.borrows else above.where
    ends = up.start.qualified_name, up.end.qualified_name
    text = orjson.dumps([above.way.hex(), where, ends, up.pairs])
    return blake2b(text, digest_size=WAY_BYTES).digest()


def differ(old: bytes | None, new: bytes | None, places: Iterable[int]) -> bool:
    """Whether a row has other values there than before, or comes or goes."""
    return old is None or new is None or values_differ(old, new, places)


class Nodes:
    """All nodes of a level, as the root, and of what lies below."""

    def __init__(self, level: Level, columns: set[str], store: View) -> None:
        self._store = store
        self._known: dict[tuple[Node, Lookup, object], Node] = {}
        self.of_table: dict[int, list[Node]] = {}
        """By the number of the table."""
        self.of_way: dict[bytes, Node] = {}
        """One of those that have the same way: a climb from there is the same."""
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
            link = Node(step.relation, LinkRows(step, self._store), step.where, self._store)
            node = self._known_or(link, node, upwards(step, near))
            node.read(reads.of_link(embed, at))
            near = step.relation
        columns = reads.of_embedded(embed, above)
        found = self._level_node(embed.level, columns)
        node = self._known_or(found, node, upwards(embed.steps[-1], near))
        node.read(columns)
        return node

    def _known_or(self, node: Node, above: Node, up: Lookup) -> Node:
        alike = node if node.borrows else node.where
        known = self._known.setdefault((above, up, alike), node)
        if known is node:
            node.put_under(above, up, self._store)
            self.of_way[node.way] = node
            self._add(node)
        return known

    def _level_node(self, level: Level, columns: set[str]) -> Node:
        rows = LevelRows(level, columns, self._store)
        node = Node(level.relation, rows, level.where, self._store)
        node.read(columns)
        return node

    def _add(self, node: Node) -> None:
        number = self._store.tables[node.relation].number
        self.of_table.setdefault(number, []).append(node)
