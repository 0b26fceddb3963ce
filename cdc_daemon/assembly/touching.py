"""Which documents of a plan a batch touches: told of each row that changes, before and after.

Between two rows the state is whole: it has one state of every row. A document that differs at the
end differs from one of these states to the next, and there the row that changed leads to it, by
what it was or by what it is, in the state before or in the state after.

Where that row is shown in too many documents, the rest of its way is gone later (`fanning`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.assembly.climbing import Climb
from cdc_daemon.assembly.roots import Node

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdc_daemon.assembly.climbing import Bounds, Wide
    from cdc_daemon.assembly.documents import Documents
    from cdc_daemon.assembly.roots import Nodes
    from cdc_daemon.state import Batch, Table


class Touched:
    """What is known of one batch so far."""

    def __init__(self, nodes: Nodes, documents: Documents, batch: Batch, bounds: Bounds) -> None:
        self._nodes = nodes.of_table
        self._settled = nodes.settled
        self._documents = documents
        self._batch = batch
        self._bounds = bounds
        self._now: list[Node] = []
        self.rows: dict[bytes, None] = {}
        """Keys of rows of the root: their documents are to be assembled."""
        self.left: dict[bytes, bytes] = {}
        """Addresses of documents that rows of the root had, with the key of the row."""
        self.wide: Wide = {}
        self._is_large = False

    @property
    def is_full(self) -> bool:
        """Whether so much is known that it should be noted elsewhere, and forgotten here."""
        return len(self.rows) + len(self.left) + len(self.wide) >= self._bounds.held

    def forget(self) -> None:
        """All that is known so far is noted."""
        self.rows, self.left, self.wide = {}, {}, {}
        self._is_large = True

    def before(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """The state still has the old row."""
        nodes = self._nodes.get(table.number, ())
        self._now = [node for node in nodes if node.is_touched(old, new)]
        climb = self._climb()
        for node in self._now:
            if node.above is None:
                if old is not None and node.may_count(self._batch, old):
                    self.left[self._documents.address(old)] = key
            elif node not in self._settled:
                self._touch(climb, node, [row for row in (old, new) if row is not None])

    def after(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """The state has the new row."""
        climb = self._climb()
        for node in self._now:
            if node.above is None:
                if new is not None and node.may_count(self._batch, new):
                    self.rows[key] = None
            else:
                self._touch(climb, node, self._starts(node, old, new))

    def _starts(self, node: Node, old: bytes | None, new: bytes | None) -> list[bytes]:
        """The rows to climb from: one is enough where both lead to the same."""
        known = [row for row in (old, new) if row is not None]
        if node not in self._settled:
            return known
        counting = [row for row in known if node.may_count(self._batch, row)]
        if old is not None and new is not None and not node.is_moved(old, new):
            return counting[:1]
        return counting

    def _climb(self) -> Climb:
        is_large = self._is_large or len(self.rows) >= self._bounds.batch
        most = 1 if is_large else self._bounds.change
        return Climb(self._batch, Node.counts, most, self.wide)

    def _touch(self, climb: Climb, node: Node, rows: Iterable[bytes]) -> None:
        for row in rows:
            self.rows.update((key, None) for key, _ in climb.up(node, row))
