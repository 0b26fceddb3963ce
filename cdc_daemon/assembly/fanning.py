"""Works fan-outs off, a piece at a time: from the rows of a group to the documents that show them.

The climb is made in a later state than that of the change, and misses nothing: a row that has left
a document since, or has come to one, is a change of its own, which found that document. Only a
`where` that reads other rows no longer says what it said then, so it isn't asked. A piece can end
anywhere: what comes before the next entry is pending, in the same transaction.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from cdc_daemon.assembly.climbing import Climb
from cdc_daemon.assembly.roots import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.assembly.climbing import Wide
    from cdc_daemon.assembly.lookup import Found
    from cdc_daemon.assembly.roots import Nodes
    from cdc_daemon.events import Position
    from cdc_daemon.state import Batch, FanOut


class FanOuts:
    """Those of one projection. What is open is in the state; here is whose turn it is."""

    def __init__(self, projection: int, nodes: Nodes) -> None:
        self._number = projection
        self._nodes = nodes.of_way
        self._last = b""
        """Way and group of the one that was gone on with last: then it is another one's turn."""

    def open(self, batch: Batch, wide: Wide) -> None:
        """What a climb has left."""
        for (way, group), at in wide.items():
            batch.fan_outs.open(self._number, way, group, at)

    def oldest(self, batch: Batch) -> Position | None:
        """The oldest change of which a document may not be pending yet; None where none is open."""
        return batch.fan_outs.oldest(self._number)

    def go_on(self, batch: Batch, most: int) -> Iterator[bytes]:
        """Keys of rows of the root, after going over `most` rows or all that is left."""
        while most > 0 and (one := self._next(batch)) is not None:
            self._last = one.way + one.group
            piece = Piece(batch, one, self._nodes[one.way], most)
            yield from piece.found
            self.open(batch, dict.fromkeys(piece.wide, one.first))
            batch.fan_outs.went_on(self._number, one, piece.next)
            most = min(piece.left, most - 1)

    def _next(self, batch: Batch) -> FanOut | None:
        of = batch.fan_outs.of
        return next(chain(of(self._number, self._last), of(self._number)), None)


class Piece:
    """Some rows of a group, in the order of its entries, and what is above them."""

    def __init__(self, batch: Batch, one: FanOut, node: Node, most: int) -> None:
        assert node.above is not None  # noqa: S101 - it has a way
        self._batch = batch
        self._hop = node.hop
        self.wide: Wide = {}
        self._climb = Climb(batch, Node.may_count, most, self.wide)
        self.next = b""
        """The entry that the next piece begins with; empty where this is the last one."""
        rows = self._rows(one)
        self.found = [key for key, _ in self._climb.on(node.above, rows)]

    @property
    def left(self) -> int:
        """So many rows could have been gone over besides."""
        return self._climb.left

    def _rows(self, one: FanOut) -> Iterator[Found]:
        for place, key in self._hop.entries(self._batch, one.group, one.begin):
            if self._climb.left <= 0:
                self.next = place
                return
            self._climb.left -= 1
            yield from self._hop.rows(self._batch, [key])
