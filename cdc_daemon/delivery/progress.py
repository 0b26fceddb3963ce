"""How far the pipeline is: received, durable, searchable. Pure bookkeeping, called by any thread.

The order of looking makes it right without a lock over everything: what was received is read
first, then the bounds, then what is still pending, so that nothing slips between them.
"""

from __future__ import annotations

import threading
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from cdc_daemon.delivery.others import EVERYWHERE, NOBODY, Others, Shown
from cdc_daemon.events import BEYOND, NOWHERE, Position

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from cdc_daemon.delivery.lane import Batch, Lane


class Progress:
    """Positions of one pipeline; each of them only grows.

    Some indices are `immediate`: they need no refresh, what is durable there is found.
    """

    others: Others = NOBODY
    """The replicas that write the other documents. One thread sets it, and never a part of it."""

    def __init__(self, lanes: Iterable[Lane], immediate: frozenset[str] = frozenset()) -> None:
        self._lanes, self.immediate = lanes, immediate
        self._lock, self._shown_others = threading.Lock(), Shown()
        self._dirty: dict[str, Position] = {}
        self._refreshing: dict[str, Position] = {}
        self._begun: Counter[str] = Counter()
        """Refreshes of each index so far."""
        self._shown: Counter[str] = Counter()
        """The last of them that has succeeded."""
        self._durable = self._searchable = NOWHERE
        self._searchable_of: dict[frozenset[str], Position] = {}
        self.received = NOWHERE
        """Everything up to here has been put into lanes. Only the reader sets it."""
        self.sending = NOWHERE
        """Nothing of a later commit has been put into lanes. Only the reader sets it."""
        self.held: Position | None = None
        """No more than this may be confirmed, durable or not: what comes after it is still needed.
        Only the reader sets it."""
        self.unfilled: Position | None = None
        """Beyond this documents lack a value. Only the reader sets it."""
        self.incomplete: Mapping[str, Position] = MappingProxyType({})
        """By index: beyond this some documents are still to be made of wide changes. Only the
        reader sets it, and never a part of it."""
        self.synced: Position = EVERYWHERE
        """Beyond this the state of joined read models isn't on disk. Only the reader sets it."""
        self.building: frozenset[str] = frozenset()
        """Indices that nobody searches yet: they are part of no position but the durable one."""
        self.unpublished: frozenset[str] = frozenset()
        """The same until searches see them: before that they are refreshed like the others."""
        self.reread: frozenset[str] = frozenset()
        """Indices that are searched, and of which changes are left to a load of all rows, since a
        table has changed: nobody knows what searches lack. None that commits wait for is among
        them: it keeps its rows, and a new generation of it is made."""
        self._shows_load: dict[str, int] = {}
        """Of those whose load has ended: the refresh that shows it."""

    def own_durable(self) -> Position:
        """Everything up to here that is ours to write is in the sink, or a dead letter."""
        return self._reached(None)

    def own_searchable(self) -> Position:
        """And everything of it can be found by a search."""
        durable = self._reached(None)
        with self._lock:
            return min(durable, *self._dirty.values(), *self._refreshing.values(), EVERYWHERE)

    def durable(self) -> Position:
        """Everything up to here is in the sink, or a dead letter."""
        reached = min(self._reached(None), self.others.durable)
        with self._lock:
            self._durable = max(self._durable, reached)
            return self._durable

    def durable_of(self, indices: Collection[str]) -> Position:
        """The same, as far as it belongs in these indices."""
        return min(self._reached(indices), self.others.durable)

    def confirmable(self) -> Position:
        """Everything up to here may be forgotten by the source."""
        durable = min(self.durable(), self.synced)
        return durable if self.held is None else min(durable, self.held)

    def reachable(self) -> Position:
        """What can be durable without anything more being read from the source."""
        bounds = (self.received, self.unfilled, *self.incomplete.values())
        return min(bound for bound in bounds if bound is not None)

    def reachable_of(self, index: str) -> Position:
        """The same, as far as it is made of the state for one index."""
        return min(self.received, self.incomplete.get(index, EVERYWHERE))

    def searchable(self) -> Position:
        """Everything up to here can be found by a search."""
        durable = self.durable()
        with self._lock:
            hidden = (*self._dirty.values(), *self._refreshing.values())
            reached = min(durable, *hidden, self._others_searchable(self._shown_others.indices))
            self._searchable = max(self._searchable, reached)
            return self._searchable

    def searchable_of(self, indices: Collection[str]) -> Position:
        """The same, as far as it belongs in these indices."""
        name = frozenset(indices)
        durable = self.durable_of(name)
        with self._lock:
            places = (self._dirty, self._refreshing)
            hidden = [place[index] for place in places for index in name & place.keys()]
            before = self._searchable_of.get(name, NOWHERE)
            reached = max(before, min(durable, *hidden, self._others_searchable(name)))
            self._searchable_of[name] = reached
            return reached

    def others_searchable(self, index: str) -> Position:
        """Everything up to here that others have written in an index can be found by a search."""
        with self._lock:
            return self._others_searchable((index,))

    def _others_searchable(self, indices: Iterable[str]) -> Position:
        """The same of several, but for those that are part of it only later; with the lock."""
        if self.others is NOBODY:
            return EVERYWHERE
        chosen = set(indices) - self.immediate - self.unpublished
        return self._shown_others.up_to(chosen, self.others)

    def _reached(self, indices: Collection[str] | None) -> Position:
        """Up to where nothing is pending; `indices` None: of all."""
        received = self.received
        # Before the lanes: a bound is lifted once what it stood for is in one of them.
        incomplete, unfilled = self.incomplete, self.unfilled
        chosen = incomplete.keys() if indices is None else incomplete.keys() & indices
        bounds = [unfilled, *(incomplete[index] for index in chosen)]
        pending = [lane.pending_from(indices) for lane in self._lanes]
        lowest = (after for after in (*bounds, *pending) if after is not None)
        return min(received, min(lowest, default=received))

    def written(self, batch: Batch) -> None:
        """Note what `batch` wrote; called before the lane is told that it is done."""
        with self._lock:
            for index in batch.by_index.keys() - self.building - self.immediate:
                self._dirty[index] = min(batch.after, self._dirty.get(index, batch.after))

    def touched(self, index: str) -> None:
        """Note that the commit after `received` changed `index` by other means than a batch."""
        if index in self.immediate:
            return
        with self._lock:
            self._dirty[index] = min(self.received, self._dirty.get(index, self.received))

    def touched_beside(self, index: str) -> None:
        """Note that `index` was written to beside the stream: no position waits for it."""
        with self._lock:
            if index not in self.building | self.immediate:
                self._dirty.setdefault(index, BEYOND)

    def unknown(self, indices: Iterable[str]) -> None:
        """Nobody knows what of these was refreshed: a daemon may have ended after it wrote."""
        with self._lock:
            self._dirty.update(dict.fromkeys(set(indices) - self.immediate, NOWHERE))
            self._shown_others.follow(indices)

    def build(self, indices: Collection[str]) -> None:
        """From now on these are filled, and nobody searches them."""
        with self._lock:
            self.building |= frozenset(indices)
            self.unpublished |= frozenset(indices)
            for index in self.building & self._dirty.keys():
                del self._dirty[index]

    def built(self, indices: Iterable[str]) -> None:
        """Refresh these like the others from now on."""
        self.building -= frozenset(indices)

    def published(self, indices: Iterable[str]) -> None:
        """Searches see these."""
        self.unpublished -= frozenset(indices)

    def leave_to_load(self, indices: Iterable[str]) -> None:
        """Changes of these may be left to a load from now on, or were before a restart."""
        self.reread |= frozenset(indices)

    def load_ended(self, indices: Iterable[str]) -> None:
        """All that was left to it is in these: the next refresh shows it."""
        with self._lock:
            self.reread -= self.immediate.intersection(indices)
            for index in self.reread.intersection(indices):
                self._dirty.setdefault(index, self.received)
                self._shows_load[index] = self._begun[index] + 1

    def dirty(self) -> dict[str, Position]:
        """The indices that were written to since their last refresh began: each one's searches may
        lack what comes after its position.
        """  # noqa: D205 - one sentence
        with self._lock:
            return dict(self._dirty)

    def hidden(self) -> set[str]:
        """The indices that hold something which can't be found yet."""
        with self._lock:
            return {*self._dirty, *self._refreshing}

    def refreshing(self) -> set[str]:
        """The indices that are being refreshed."""
        with self._lock:
            return set(self._refreshing)

    def begin_refresh(self, indices: Iterable[str]) -> None:
        """What was written to `indices` until now is going to be searchable."""
        with self._lock:
            others = self.others
            for index in indices:
                if index in self._dirty:
                    self._refreshing[index] = self._dirty.pop(index)
                    self._begun[index] += 1
                    self._shown_others.begin(index, others)

    def end_refresh(self, indices: Iterable[str], *, succeeded: bool) -> None:
        """Their refresh has returned: what it covered is searchable, or as dirty as before."""
        with self._lock:
            for index in self._refreshing.keys() & indices:
                first = self._refreshing.pop(index)
                if succeeded:
                    self._shown[index] = self._begun[index]
                    self._shown_others.succeeded(index)
                    if self._begun[index] >= self._shows_load.get(index, self._begun[index] + 1):
                        del self._shows_load[index]
                        self.reread -= {index}
                else:
                    self._dirty[index] = min(first, self._dirty.get(index, first))

    def refresh_of(self, index: str) -> int:
        """Which refresh of the index shows all that was written to it until now: for `has_shown`.

        The refreshes of an index are counted, those that have failed as well.
        """
        with self._lock:
            return self._begun[index] + (index in self._dirty)

    def has_shown(self, index: str, refresh: int) -> bool:
        """Whether that refresh has succeeded, or a later one."""
        return self.shown_by(index) >= refresh

    def shown_by(self, index: str) -> int:
        """The last refresh of the index that has succeeded."""
        with self._lock:
            return self._shown[index]
