"""The joined projections of a pipeline: transactions in, documents out, exact at each commit.

Of a projection that reads what isn't all in the state yet nothing is given out: it is held, until
it is whole. Then every document of it is to be written (`every`), beside what changes from then on.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.assembly.counting import counts
from cdc_daemon.assembly.documents import Documents
from cdc_daemon.assembly.reads import of_root
from cdc_daemon.assembly.recounting import Recounting
from cdc_daemon.assembly.roots import Nodes
from cdc_daemon.assembly.touching import Touched
from cdc_daemon.assembly.wanting import wanted
from cdc_daemon.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cdc_daemon.assembly.counting import Count
    from cdc_daemon.events import Position
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Batch, Staged, Store, Table


SLICE: Final = 100
"""Documents that are assembled between two looks at the stream: about 5 ms where each shows a few
rows."""


class Pending(NamedTuple):
    """A document that is to be written."""

    projection: str
    address: bytes
    """Its id, and its routing if it has one, as JSON strings."""
    row_key: bytes


class Assembled(NamedTuple):
    """A document as it is in the state."""

    projection: str
    address: bytes
    body: bytes | None
    """None: there is no such document."""


class Written(NamedTuple):
    """A document that the sink has, as it was at `version`, or a newer one of it."""

    projection: str
    address: bytes
    version: Position


class Assembly(NamedTuple):
    """Some documents as they are at one position of the state: their version."""

    position: Position
    documents: Sequence[Assembled]
    looked_at: int
    """How many of those that were asked for; one that lacks a value is in no assembly."""


class Slice(NamedTuple):
    """Some of all documents of a projection."""

    position: Position
    """Where the state was: their version."""
    documents: list[Assembled]
    last: bytes | None
    """The key of the last row of the root; None where there are no more."""


class JoinedProjection:
    """One plan at work."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.name = plan.name
        self.wanted = wanted([plan])
        self.root = store.tables[plan.root.relation]
        self.number = store.schema.projections[plan.name]
        self.nodes = Nodes(plan.root, of_root(plan), store)
        self.documents = Documents(plan, store)

    def touched(self, batch: Batch, found: Touched) -> Iterator[Pending]:
        """The documents that differ, or may."""
        left = dict(found.left)
        for key in found.rows:
            address = self.documents.address_of(batch, key)
            if address is not None:
                left.pop(address, None)
                yield Pending(self.name, address, key)
        for address, key in left.items():
            yield Pending(self.name, address, key)


class _Listener:
    """Tells every count and every plan of every row."""

    def __init__(
        self,
        projections: Iterable[JoinedProjection],
        counts: Mapping[int, Sequence[Count]],
        batch: Batch,
    ) -> None:
        self._batch = batch
        self._counts = counts
        self.touched = {one: Touched(one.nodes, one.documents, batch) for one in projections}

    def before(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        for count in self._counts.get(table.number, ()):
            count.before(self._batch, table, key, old, new)
        for one in self.touched.values():
            one.before(table, key, old, new)

    def after(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        for count in self._counts.get(table.number, ()):
            count.after(self._batch, table, key, old, new)
        for one in self.touched.values():
            one.after(key, old, new)


class JoinedProjections:
    """All plans of a pipeline over one state, which has what `wanted` says."""

    def __init__(self, plans: Sequence[Plan], store: Store) -> None:
        self._store = store
        self._projections = {plan.name: JoinedProjection(plan, store) for plan in plans}
        self._counts = counts(plans, store)
        every = dict.fromkeys(count for some in self._counts.values() for count in some)
        self._recounting = Recounting(every, store)
        self.held: set[str] = set()
        """The projections that read what isn't all there yet."""
        self.look_again()

    def look_again(self) -> set[str]:
        """More may be there: return which projections are held no longer."""
        schema, before = self._store.schema, self.held
        self.held = {name for name, one in self._projections.items() if not schema.has(one.wanted)}
        return before - self.held

    def count_some(self) -> bool:
        """Count a slice of rows for counters that lack them; whether none are left."""
        return self._recounting.some()

    def load(
        self, table: Table, rows: Iterable[tuple[bytes, bytes]], progress: bytes
    ) -> list[Pending]:
        """Put existing rows into the state, with how far the load is; return what they touch."""
        rows = list(rows)
        return self._store.write(
            lambda batch: self._followed(
                lambda batch, listener: batch.load(table, rows, progress, listener), batch
            )
        )

    def apply(
        self,
        transactions: Sequence[tuple[Staged, Position]],
        written: Sequence[Written] = (),
    ) -> list[Pending]:
        """Apply transactions to the state, all or nothing; return the documents that they touch,
        which are pending there from then on: each once, however many changes hit it.

        The sink has those that are `written`.
        """  # noqa: D205 - one sentence

        def applied(batch: Batch, listener: _Listener) -> None:
            self._note_written(written, batch)
            for staged, position in transactions:
                batch.apply(staged, position, listener)

        return self._store.write(lambda batch: self._followed(applied, batch))

    def _followed(self, work: Callable[[Batch, _Listener], None], batch: Batch) -> list[Pending]:
        """Do what changes rows; return the documents that it touches."""
        listener = _Listener(self._unheld(), self._counts, batch)
        work(batch, listener)
        found = [
            one
            for projection, touched in listener.touched.items()
            for one in projection.touched(batch, touched)
        ]
        for one in found:
            number = self._projections[one.projection].number
            batch.pending.mark(number, one.address, one.row_key, batch.position)
        return found

    def assemble(self, pending: Iterable[Pending], most_bytes: int | None = None) -> Assembly:
        """These documents; or the first of them, until they are so large.

        One that lacks a value which isn't known yet is left out, and stays pending.
        """
        return self._store.read(lambda batch: self._assembled(pending, most_bytes, batch))

    def _assembled(
        self, pending: Iterable[Pending], most_bytes: int | None, batch: Batch
    ) -> Assembly:
        documents: list[Assembled] = []
        size = looked_at = 0
        for name, address, key in pending:
            looked_at += 1
            try:
                body = self._projections[name].documents.at(batch, address, key)
            except RejectedError:
                continue
            documents.append(Assembled(name, address, body))
            size += len(body or b"")
            if most_bytes is not None and size >= most_bytes:
                break
        return Assembly(batch.position, documents, looked_at)

    def pending(self) -> list[Pending]:
        """All documents that the sink isn't known to have."""
        return self._store.read(lambda batch: list(self._all_pending(batch)))

    def _all_pending(self, batch: Batch) -> Iterator[Pending]:
        for one in self._unheld():
            for found in batch.pending.of(one.number):
                yield Pending(one.name, found.id, found.row_key)

    def _unheld(self) -> list[JoinedProjection]:
        return [one for name, one in self._projections.items() if name not in self.held]

    def every(self, projection: str, after: bytes, most_bytes: int) -> Slice:
        """The next documents of a projection, by the keys of the root's rows behind `after`.

        Rows without a document are left out. Bounded in number, and after `most_bytes`.
        """
        one = self._projections[projection]
        return self._store.read(lambda batch: _slice(one, after, most_bytes, batch))

    def reach(self, position: Position, written: Sequence[Written] = ()) -> None:
        """Everything up to `position` is applied, or none of the state's; these are written."""

        def work(batch: Batch) -> None:
            self._note_written(written, batch)
            batch.reached(position)

        self._store.write(work)

    def _note_written(self, written: Sequence[Written], batch: Batch) -> None:
        for name, address, version in written:
            batch.pending.written(self._projections[name].number, (address,), version)


def _slice(one: JoinedProjection, after: bytes, most_bytes: int, batch: Batch) -> Slice:
    documents: list[Assembled] = []
    size, last = 0, None
    for key, packed in islice(one.root.after(batch.txn, after), SLICE):
        last = key
        address = one.documents.address(packed)
        body = one.documents.at(batch, address, key)
        if body is not None:
            documents.append(Assembled(one.name, address, body))
            size += len(body)
        if size >= most_bytes:
            break
    return Slice(batch.position, documents, last)
