"""The transactions that are being read, and what each makes of the documents of every projection.

Most come whole, one after the other, and share one set of folds. A large one comes in parts before
it ends, between others: it has folds of its own until then. All of them share one bound of memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cdc_daemon.delivery.fold import Fold
from cdc_daemon.delivery.numbered import Numbered
from cdc_daemon.delivery.route import Route
from cdc_daemon.events import ChangeKind, StreamAbort, StreamStart, StreamStop
from cdc_daemon.spilling import require_room

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from cdc_daemon.events import Change, Relation
    from cdc_daemon.projection.flat import FlatProjection


class RowTaker(Protocol):
    """Who takes rows themselves, and not what projections make of them."""

    @property
    def relations(self) -> Collection[Relation]:
        """Of these tables."""

    @property
    def held_bytes(self) -> int:
        """What is held of the transaction that is being read, in memory and on disk."""

    @property
    def spilled_bytes(self) -> int:
        """What of it is on disk."""

    def take(self, change: Change) -> None:
        """A change of the transaction that is being read."""

    def take_misfit(self, change: Change) -> None:
        """The same of a table in another shape than it was known in."""


class Destination:
    """Where the changes of one relation go, and how many there were of each kind."""

    __slots__ = ("counts", "relation", "take_row", "targets")

    def __init__(self, relation: Relation, routes: Sequence[Route], counts: list[int]) -> None:
        self.relation = relation
        self.targets: list[tuple[Callable[[Change, Fold], None], Fold]] = [
            (route.projection.apply, route.fold)
            for route in routes
            if route.projection.relation is relation
        ]
        self.take_row: Callable[[Change], None] | None = None
        self.counts = counts


class Destinations(dict["Relation", Destination]):
    """Where the changes of each relation go; of a table in another shape, made when one comes."""

    def __init__(self, usual: Mapping[Relation, Destination], rows: RowTaker | None = None) -> None:
        super().__init__(usual)
        self._rows = rows
        if rows is not None:
            for relation in rows.relations:
                self[relation].take_row = rows.take

    def __missing__(self, relation: Relation) -> Destination:
        if relation.stands_for is None:
            raise KeyError(relation)
        usual = self[relation.stands_for]
        made = Destination(relation, (), usual.counts)
        made.targets = [(_note_misfit, fold) for _, fold in usual.targets]
        if usual.take_row is not None and self._rows is not None:
            made.take_row = self._rows.take_misfit
        self[relation] = made
        return made


def _note_misfit(change: Change, fold: Fold) -> None:
    fold.note_misfit(change.relation.misfit)


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """One that hasn't ended, as far as it was read."""

    routes: Sequence[Route]
    destinations: Mapping[Relation, Destination]

    def forget(self) -> None:
        """Let go of all that it holds."""
        for route in self.routes:
            route.fold.clear()


class OpenTransactions:
    """Those of a pipeline. The reader calls it."""

    def __init__(
        self,
        relations: Sequence[Relation],
        indices: Sequence[tuple[FlatProjection, str]],
        most_bytes: int,
        folder: Path,
        rows: RowTaker | None = None,
        most_spilled_bytes: int | None = None,
    ) -> None:
        """`most_bytes` of memory, and `most_spilled_bytes` of the disk that `folder` is on."""
        self._indices = indices
        self._rows = rows
        self._most_bytes = most_bytes
        self._folder = folder
        self._most_spilled = most_spilled_bytes
        self.counts = {relation: [0] * (max(ChangeKind) + 1) for relation in relations}
        """Changes by kind, of all transactions."""
        self._whole = self._begin()
        self._in_parts: dict[int, OpenTransaction] = {}
        self._numbered: dict[str, Numbered] = {}
        """What of the whole one has versions of its own, by the names of read models."""
        self.destinations = self._whole.destinations
        """Where the changes that come now go."""

    @property
    def in_parts(self) -> int:
        """How many come in parts."""
        return len(self._in_parts)

    @property
    def held_bytes(self) -> int:
        """What is held of all of them, in memory and on disk."""
        folded = sum(fold.size_bytes + fold.spilled_bytes for fold in self._folds())
        return folded + (0 if self._rows is None else self._rows.held_bytes)

    def take_counts(self) -> Iterator[tuple[str, str, int]]:
        """Table, kind and number of the changes since the last call."""
        for relation, counts in self.counts.items():
            for kind in ChangeKind:
                if count := counts[kind]:
                    counts[kind] = 0
                    yield relation.qualified_name, kind.name.lower(), count

    def follow(self, event: StreamStart | StreamStop | StreamAbort) -> None:
        """A part begins or ends, or something is taken back."""
        if type(event) is StreamStart:
            self._start(event)
        elif type(event) is StreamAbort:
            self._roll_back(event)
        else:
            self.destinations = self._whole.destinations

    def number(self, version: int) -> None:
        """What has come of the transaction that comes whole, since this was called, has a version.

        Nothing of it is spilled: who has put the transaction together holds all of it in memory.
        """
        for route in self._whole.routes:
            if route.fold:
                name = route.projection.name
                self._numbered.setdefault(name, Numbered(route)).add(version)

    def take_numbered(self) -> Sequence[Numbered]:
        """All that has versions of its own, of the transaction that has ended."""
        numbered, self._numbered = self._numbered, {}
        return [*numbered.values()]

    def committed(self, xid: int) -> Sequence[Route]:
        """What a transaction has made of the documents, to be drained before it is `ended`."""
        return self._in_parts.get(xid, self._whole).routes

    def ended(self, xid: int) -> None:
        """All of it is on its way."""
        self._in_parts.pop(xid, None)

    def forget(self) -> None:
        """All of them come again from their beginning, into other folds.

        What was being gathered when the source was lost has its thread still.
        """
        for transaction in (self._whole, *self._in_parts.values()):
            transaction.forget()
        self._whole = self._begin()
        self._in_parts = {}
        self._numbered = {}
        self.destinations = self._whole.destinations

    def spill_if_large(self) -> int:
        """Keep the bound of memory, the largest first; return how many bytes went to disk.

        Raises StateError where they may take no more of it.
        """
        spilled = 0
        while sum(fold.size_bytes for fold in self._folds()) > self._most_bytes:
            largest = max(self._folds(), key=lambda fold: fold.size_bytes)
            self.require_room(largest.size_bytes)
            spilled += largest.spill()
        return spilled

    def require_room(self, more_bytes: int) -> None:
        """Raise StateError where so much more on disk is more than may be there."""
        folded = sum(fold.spilled_bytes for fold in self._folds())
        rows = 0 if self._rows is None else self._rows.spilled_bytes
        require_room(self._folder, folded + rows + more_bytes, self._most_spilled)

    def _begin(self) -> OpenTransaction:
        routes = [
            Route(projection, index, Fold(self._folder)) for projection, index in self._indices
        ]
        usual = {
            relation: Destination(relation, routes, counts)
            for relation, counts in self.counts.items()
        }
        destinations = Destinations(usual, self._rows)
        return OpenTransaction(routes, destinations)

    def _start(self, part: StreamStart) -> None:
        if part.xid not in self._in_parts:
            self._in_parts[part.xid] = self._begin()
        transaction = self._in_parts[part.xid]
        for route in transaction.routes:
            route.fold.enter(part.subxid)
        self.destinations = transaction.destinations

    def _roll_back(self, abort: StreamAbort) -> None:
        if abort.xid == abort.subxid:
            if transaction := self._in_parts.pop(abort.xid, None):
                transaction.forget()
        elif transaction := self._in_parts.get(abort.xid):
            for route in transaction.routes:
                route.fold.roll_back(abort.subxid)

    def _folds(self) -> Iterator[Fold]:
        for transaction in (self._whole, *self._in_parts.values()):
            for route in transaction.routes:
                yield route.fold
