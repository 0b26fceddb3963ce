"""The way up from a row that changes to the rows of the root that are read with it.

A climb goes over so many rows at once. Where a group of rows is larger than what is left of that,
none of it is gone over: it is wide, and left to a fan-out.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from cdc_daemon.assembly.lookup import Found
    from cdc_daemon.assembly.roots import Node
    from cdc_daemon.events import Position
    from cdc_daemon.state import Batch

    Counts: TypeAlias = "Callable[[Node, Batch, bytes], bool]"
    """Whether a row in the role of that node is gone on with."""

    Wide: TypeAlias = "dict[tuple[bytes, bytes], Position]"
    """Ways and groups that are left to fan-outs, each with the first change that is to be shown."""


class Bounds(NamedTuple):
    """How much is done at once."""

    change: int = 100
    """Rows that one change goes over in its own batch: 1 ms, and what is assembled of it 5 ms."""
    batch: int = 2_000
    """Documents of one projection after which the rest of a batch goes over single rows only:
    thousands of lookup rows that change at once are no better than one that is shown everywhere."""
    piece: int = 100
    """Rows of a fan-out between two looks at the stream: as many as of one change."""
    held: int = 20_000
    """Documents of one projection, and ways to more of them, that are remembered of a batch, about
    200 bytes each: beyond, all of them are noted as pending, so that millions of rows at once take
    no more memory."""


BOUNDS: Final = Bounds()
ALL: Final = 1 << 62
"""As many as there are."""


class Climb:
    """One climb, or several on behalf of one change."""

    def __init__(
        self, batch: Batch, counts: Counts, most: int = ALL, wide: Wide | None = None
    ) -> None:
        self._batch = batch
        self._counts = counts
        self.left = most
        """So many rows may still be gone over."""
        self._wide: Wide = {} if wide is None else wide
        self._seen: set[tuple[Node, bytes]] = set()

    def up(self, node: Node, packed: bytes) -> Iterator[Found]:
        """The rows of the root that a row of `node` is read with, as the state is; none twice.

        Many ways may lead over one row, and are gone on with once.
        """
        if node.above is not None:
            yield from self.on(node.above, self._rows(node, packed))

    def on(self, node: Node, rows: Iterable[Found]) -> Iterator[Found]:
        """The same, from rows of `node` that were reached."""
        for found in rows:
            here = (node, found[0])
            if here in self._seen:
                continue
            self._seen.add(here)
            if not self._counts(node, self._batch, found[1]):
                continue
            if node.above is None:
                yield found
            else:
                yield from self.up(node, found[1])

    def _rows(self, node: Node, packed: bytes) -> Iterable[Found]:
        """Those above a row, unless they are too many."""
        hop, batch = node.hop, self._batch
        group = hop.group(packed)
        if group is None:
            return hop.find(batch, packed)
        if (node.way, group) in self._wide:
            return ()
        keys = []
        for key in islice(hop.keys(batch, group), self.left + 1):
            batch.look_up()
            keys.append(key)
        if len(keys) > self.left:
            self._wide[node.way, group] = batch.applying
            return ()
        self.left -= len(keys)
        return hop.rows(batch, keys)
