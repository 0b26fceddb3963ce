"""Counters that are wanted only now, of rows that are there already: counted from them in slices.

Changes that come between two slices move the counters of what has been counted, and of nothing
else: so it doesn't matter where the next slice begins, nor whether the daemon ended in between.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdc_daemon.assembly.counting import Count
    from cdc_daemon.state import Batch, Store

SLICE: Final = 500
"""Rows that are counted between two looks at the stream: about 5 ms."""


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

    def some(self) -> bool:
        """Count a slice of rows, once tables and indexes are whole; whether nothing is left."""
        if not self._left:
            return True
        count = self._left[0]
        reached = self._store.write(lambda batch: self._slice(count, batch))
        if reached is not None:
            count.counted_to = reached
            return False
        for name in count.names:
            self._store.counted(name)
        count.counted_to = None
        self._left.pop(0)
        return not self._left

    def _slice(self, count: Count, batch: Batch) -> bytes | None:
        """Return the key of the last row that was counted, None where there was none to count."""
        reached = None
        for found in islice(count.first.after(batch.txn, count.counted_to or b""), SLICE):
            count.count(batch, found)
            reached = found[0]
        if reached is not None:
            batch.note_counted(self._number(count), reached)
        return reached

    def _number(self, count: Count) -> int:
        return self._store.schema.aggregates[count.names[0]].number
