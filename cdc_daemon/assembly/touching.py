"""Which documents of a plan a batch touches: told of each row that changes, before and after.

Between two rows the state is whole: it has one state of every row. A document that differs at the
end differs from one of these states to the next, and there the row that changed leads to it, by
what it was or by what it is, in the state before or in the state after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdc_daemon.assembly.documents import Documents
    from cdc_daemon.assembly.roots import Node, Nodes, Seen
    from cdc_daemon.state import Batch, Table


class Touched:
    """What is known of one batch so far."""

    def __init__(self, nodes: Nodes, documents: Documents, batch: Batch) -> None:
        self._nodes = nodes.of_table
        self._settled = nodes.settled
        self._documents = documents
        self._batch = batch
        self._now: list[Node] = []
        self.rows: dict[bytes, None] = {}
        """Keys of rows of the root: their documents are to be assembled."""
        self.left: dict[bytes, bytes] = {}
        """Addresses of documents that rows of the root had, with the key of the row."""

    def before(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """The state still has the old row."""
        nodes = self._nodes.get(table.number, ())
        self._now = [node for node in nodes if node.is_touched(old, new)]
        seen: Seen = set()
        for node in self._now:
            if node.above is None:
                if old is not None and node.may_count(self._batch, old):
                    self.left[self._documents.address(old)] = key
            elif node not in self._settled:
                for row in (old, new):
                    self._climb(node, row, seen)

    def after(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """The state has the new row."""
        seen: Seen = set()
        for node in self._now:
            if node.above is None:
                if new is not None and node.may_count(self._batch, new):
                    self.rows[key] = None
                continue
            for row in self._starts(node, old, new):
                self._climb(node, row, seen)

    def _starts(self, node: Node, old: bytes | None, new: bytes | None) -> list[bytes]:
        """The rows to climb from: one is enough where both lead to the same."""
        known = [row for row in (old, new) if row is not None]
        if node not in self._settled:
            return known
        counting = [row for row in known if node.may_count(self._batch, row)]
        if old is not None and new is not None and not node.is_moved(old, new):
            return counting[:1]
        return counting

    def _climb(self, node: Node, row: bytes | None, seen: Seen) -> None:
        if row is not None:
            self.rows.update((key, None) for key, _ in node.climb(self._batch, row, seen))
