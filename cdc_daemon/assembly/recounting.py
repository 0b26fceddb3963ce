"""Counters that are new, once all rows are there that they count: counted from them in slices.

Changes that come between two slices move the counters of what has been counted, and of nothing
else: so it doesn't matter where the next slice begins, nor whether the daemon ended in between.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from cdc_daemon.assembly.counting import PathCount, Slice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.assembly.counting import Count
    from cdc_daemon.assembly.lookup import Found
    from cdc_daemon.state import Batch, Store

SLICE: Final = 1_000
"""Rows that are counted between two looks at the stream, fewer by several aggregates: 5 ms. Those
behind them count as well, where a way leads over others: 20 ms. But one row is counted at once,
with signs of life meanwhile."""


class Recounting:
    """The aggregates of a state that must be counted."""

    def __init__(self, counts: Mapping[int, Sequence[Count]], store: Store) -> None:
        """`counts` by the numbers of the tables that move them."""
        self._store = store
        lacking = set(store.schema.to_count)
        every = dict.fromkeys(count for some in counts.values() for count in some)
        self._left = [count for count in every if lacking.intersection(count.names)]
        store.read(self._look)

    def _look(self, batch: Batch) -> None:
        for count in self._left:
            count.counted_to = batch.counted_to(self._number(count))

    def some(self, meanwhile: Callable[[], None]) -> bool:
        """Count a slice of rows, once tables and indexes are whole; whether nothing is left.

        `meanwhile` is called where very many are counted at once.
        """
        if not self._left:
            return True
        together = self._next()

        def work(batch: Batch) -> bytes | None:
            batch.meanwhile = meanwhile
            return self._slice(together, batch)

        reached = self._store.write(work)
        for count in together:
            count.counted_to = reached
        if reached is None:
            self._end(together)
        return not self._left

    def _next(self) -> list[Count]:
        """Those that begin at the same row: it is read once for all of them."""
        one = self._left[0]
        here = (one.first, one.counted_to)
        return [other for other in self._left if (other.first, other.counted_to) == here]

    def _slice(self, together: Sequence[Count], batch: Batch) -> bytes | None:
        """Return the key of the last row that was counted, None where there was none to count."""
        one = together[0]
        behind = one.first.after(batch.txn, one.counted_to or b"")
        found = list(islice(behind, max(1, SLICE // len(together))))
        if not found:
            return None
        found = _counted_by_paths(together, found, batch)
        reached, _ = found[-1]
        slice_ = Slice(found)
        for count in together:
            if not isinstance(count, PathCount):
                count.count(batch, slice_)
            batch.note_counted(self._number(count), reached)
        return reached

    def _end(self, together: Sequence[Count]) -> None:
        """All of their rows are counted."""
        for count in together:
            for name in count.names:
                self._store.counted(name)
            self._left.remove(count)

    def _number(self, count: Count) -> int:
        return self._store.schema.aggregates[count.names[0]].number


def _counted_by_paths(together: Sequence[Count], found: list[Found], batch: Batch) -> list[Found]:
    """Count row by row what is counted by paths, until these are a slice; return those rows."""
    ways = [count for count in together if isinstance(count, PathCount)]
    began = batch.looked_at
    for at, row in enumerate(found, 1):
        for count in ways:
            count.count(batch, row)
        if batch.looked_at - began >= SLICE:
            return found[:at]
    return found
