"""The joined projections of a pipeline: transactions in, documents out, exact at each commit.

Of a projection that reads what isn't all in the state yet nothing is given out: it is held, until
it is whole. Then every document of it is to be written (`every`), beside what changes from then on.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.assembly.climbing import BOUNDS
from cdc_daemon.assembly.counting import counts
from cdc_daemon.assembly.documents import Documents
from cdc_daemon.assembly.fanning import FanOuts
from cdc_daemon.assembly.reads import of_root
from cdc_daemon.assembly.recounting import Recounting
from cdc_daemon.assembly.roots import Nodes
from cdc_daemon.assembly.touching import Touched
from cdc_daemon.assembly.wanting import documents_of, wanted
from cdc_daemon.errors import RejectedError
from cdc_daemon.events import NOWHERE, Position
from cdc_daemon.state import Known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cdc_daemon.assembly.climbing import Bounds
    from cdc_daemon.assembly.counting import Count
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Batch, Staged, Store, Table, View


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
    version: Position


class Written(NamedTuple):
    """A document that the sink has, as it was at `version`, or a newer one of it."""

    projection: str
    address: bytes
    version: Position


class Assembly(NamedTuple):
    """Some documents as they are at one position of the state."""

    position: Position
    documents: Sequence[Assembled]
    looked_at: int
    """How many of those that were asked for; one that lacks a value is in no assembly."""


class Slice(NamedTuple):
    """Some of all documents of a projection, in the order of the keys of the root's rows."""

    position: Position
    """Where the state was: their version."""
    documents: Sequence[Assembled]
    looked_at: int
    """How many rows; none where there are no more. Not each of them has a document."""
    last: bytes
    """The key of the last one."""


class JoinedProjection:
    """One plan at work."""

    def __init__(self, plan: Plan, store: View) -> None:
        self.name = plan.name
        self.wanted = wanted([plan])
        self.root = store.tables[plan.root.relation]
        self.number = store.schema.projections[documents_of(plan)]
        self.nodes = Nodes(plan.root, of_root(plan), store)
        self.documents = Documents(plan, store)
        self.fan_outs = FanOuts(self.number, self.nodes)
        self._is_routed = plan.routing is not None

    def version(self, batch: Batch, address: bytes, body: bytes | None) -> Position:
        """Of a document as it is now: where the state is.

        But one that was routed elsewhere may be in the same shard under the same id, where the
        delete must not meet it, however late it comes: so that is as old as what it deletes can be.
        """
        if body is None and self._is_routed:
            found = batch.pending.get(self.number, address)
            return NOWHERE if found is None else Position(found.last - 1)
        return batch.position

    def touched(self, batch: Batch, found: Touched) -> Iterator[Pending]:
        """The documents that differ, or may; those of fan-outs come later."""
        left = dict(found.left)
        for one in self._of(batch, found.rows):
            left.pop(one.address, None)
            yield one
        for address, key in left.items():
            yield Pending(self.name, address, key)
        self.fan_outs.open(batch, found.wide)

    def mark(self, batch: Batch, found: Iterable[Pending]) -> None:
        """These are pending, as of the transaction that is being applied."""
        for one in found:
            batch.pending.mark(self.number, one.address, one.row_key, batch.applying)

    def fanned_out(self, batch: Batch, most: int) -> Iterator[Pending]:
        """Documents of fan-outs that are open."""
        return self._of(batch, self.fan_outs.go_on(batch, most))

    def _of(self, batch: Batch, rows: Iterable[bytes]) -> Iterator[Pending]:
        for key in rows:
            address = self.documents.address_of(batch, key)
            if address is not None:
                yield Pending(self.name, address, key)


class _Listener:
    """Tells every count and every plan of every row."""

    def __init__(
        self,
        projections: Iterable[JoinedProjection],
        counts: Mapping[int, Sequence[Count]],
        batch: Batch,
        bounds: Bounds,
    ) -> None:
        self._batch = batch
        self._counts = counts
        self.has_more = False
        """Whether more is touched than what is known at the end: that is marked as pending."""
        self.touched = {
            one: Touched(one.nodes, one.documents, batch, bounds) for one in projections
        }

    def before(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        for count in self._counts.get(table.number, ()):
            count.before(self._batch, table, key, old, new)
        for one in self.touched.values():
            one.before(table, key, old, new)

    def after(self, table: Table, key: bytes, old: bytes | None, new: bytes | None) -> None:
        for count in self._counts.get(table.number, ()):
            count.after(self._batch, table, key, old, new)
        for projection, one in self.touched.items():
            one.after(key, old, new)
            if one.is_full:
                projection.mark(self._batch, projection.touched(self._batch, one))
                one.forget()
                self.has_more = True


class JoinedProjections:
    """All plans of a pipeline over one state, which has what `wanted` says."""

    def __init__(self, plans: Sequence[Plan], store: Store, bounds: Bounds = BOUNDS) -> None:
        self._store = store
        self._bounds = bounds
        self._projections = {plan.name: JoinedProjection(plan, store) for plan in plans}
        self._counts = counts(plans, store)
        self._recounting = Recounting(self._counts, store)
        self.has_more = False
        """Whether the last `apply` has touched more than it has returned."""
        self.unchanged = 0
        """How many rows the last `apply` has met as they were already."""
        self.meanwhile: Callable[[], None] = lambda: None
        """Called again and again where much is done at once; it must not touch the state."""
        self.held: set[str] = set()
        """The projections that read what isn't all there yet."""
        self._turns = deque(self._projections.values())
        """Whose fan-outs are gone on with next."""
        self._wide: dict[str, Position] | None = None
        """What `wide_open` says, as long as nothing has changed it."""
        self.look_again()

    def look_again(self) -> set[str]:
        """More may be there: return which projections are held no longer."""
        schema, before = self._store.schema, self.held
        self.held = {name for name, one in self._projections.items() if schema.lacks(one.wanted)}
        self._wide = None
        return before - self.held

    def count_some(self) -> bool:
        """Count a slice of rows for counters that are new; whether there is nothing to count."""
        return self._recounting.some(self.meanwhile)

    def apply(
        self,
        transactions: Sequence[tuple[Staged, Position]],
        written: Sequence[Written] = (),
    ) -> list[Pending]:
        """Apply transactions to the state, all or nothing; return the documents that they touch,
        which are pending there from then on: each once, however many changes hit it.

        Where a row is shown in too many, these are left to `fan_out`; where very many are touched,
        `has_more` says that not all are returned. The sink has those that are `written`.
        """  # noqa: D205 - one sentence
        return self._store.write(lambda batch: self._applied(transactions, written, batch))

    def fan_out(self) -> list[Pending]:
        """Go on with what `apply` has left, for a moment; return the documents that it has come to,
        which are pending from then on. They may be none, although `wide_open` says there is more.
        """  # noqa: D205 - one sentence
        wide = self.wide_open()
        projection = next((one for one in self._turns if one.name in wide), None)
        if projection is None:
            return []
        self._turns.remove(projection)
        self._turns.append(projection)
        self._wide = None
        return self._store.write(lambda batch: self._fanned_out(projection, batch))

    def _fanned_out(self, projection: JoinedProjection, batch: Batch) -> list[Pending]:
        found = list(dict.fromkeys(projection.fanned_out(batch, self._bounds.piece)))
        self._mark(found, batch)
        return found

    def wide_open(self) -> dict[str, Position]:
        """The projections of which `fan_out` has documents left, each with the oldest change that
        these may not show: such a projection is complete up to before it.
        """  # noqa: D205 - one sentence
        if self._wide is None:
            self._wide = self._store.read(self._oldest)
        return self._wide

    def _oldest(self, batch: Batch) -> dict[str, Position]:
        oldest = ((one.name, one.fan_outs.oldest(batch)) for one in self._unheld())
        return {name: position for name, position in oldest if position is not None}

    def _applied(
        self,
        transactions: Sequence[tuple[Staged, Position]],
        written: Sequence[Written],
        batch: Batch,
    ) -> list[Pending]:
        listener = _Listener(self._unheld(), self._counts, batch, self._bounds)
        batch.meanwhile = self.meanwhile
        self._note_written(written, batch)
        for staged, position in transactions:
            batch.apply(staged, position, listener)
        self.has_more, self.unchanged = listener.has_more, batch.same
        if listener.has_more or any(touched.wide for touched in listener.touched.values()):
            self._wide = None
        found = [
            one
            for projection, touched in listener.touched.items()
            for one in projection.touched(batch, touched)
        ]
        self._mark(found, batch)
        return found

    def _mark(self, found: Iterable[Pending], batch: Batch) -> None:
        for one in found:
            number = self._projections[one.projection].number
            batch.pending.mark(number, one.address, one.row_key, batch.position)

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
            one = self._projections[name]
            try:
                body = one.documents.at(batch, address, key)
            except RejectedError:
                continue
            documents.append(Assembled(name, address, body, one.version(batch, address, body)))
            size += len(body or b"")
            if most_bytes is not None and size >= most_bytes:
                break
        return Assembly(batch.position, documents, looked_at)

    def pending(self) -> list[Pending]:
        """All documents that the sink isn't known to have."""
        return [one for projection in self._unheld() for one in self.pending_of(projection.name)]

    def pending_of(
        self, projection: str, after: bytes = b"", most: int | None = None
    ) -> list[Pending]:
        """Those of one projection; or so many of them behind an address, in some order."""
        number = self._projections[projection].number
        found = self._store.read(lambda batch: list(islice(batch.pending.of(number, after), most)))
        return [Pending(projection, one.id, one.row_key) for one in found]

    @property
    def given_out(self) -> list[str]:
        """The projections that aren't held."""
        return [one.name for one in self._unheld()]

    def _unheld(self) -> list[JoinedProjection]:
        return [one for name, one in self._projections.items() if name not in self.held]

    def every(self, projection: str, after: bytes, most_bytes: int) -> Slice:
        """The next documents of a projection, those of the rows of its root behind a key.

        Bounded in number, and after `most_bytes`.
        """
        one = self._projections[projection]
        return self._store.read(lambda batch: _slice(one, after, most_bytes, batch))

    def forget_of_others(
        self, projection: str, after: bytes, most: int, durable: Callable[[bytes], Position | None]
    ) -> bytes:
        """Let go of pending documents that others are known to have written: so many, behind an
        address. Return the last address; empty where there are no more.

        `durable` says of an address up to where it is in the sink; None where that is ours.
        """  # noqa: D205 - one sentence
        number = self._projections[projection].number

        def work(batch: Batch) -> bytes:
            found = list(islice(batch.pending.of(number, after), most))
            for one in found:
                reached = durable(one.id)
                if reached is not None:
                    batch.pending.written(number, (one.id,), reached)
            return found[-1].id if len(found) == most else b""

        return self._store.write(work)

    def known(self, projection: str) -> Known | None:
        """What was noted of the documents of a projection."""
        number = self._projections[projection].number
        return self._store.read(lambda batch: batch.known(number))

    def note_known(self, projection: str, uuid: str, since: Position | None = None) -> None:
        """All that is touched of its documents from there on, or from now on, is pending."""
        number = self._projections[projection].number

        def work(batch: Batch) -> None:
            batch.note_known(number, Known(uuid, batch.position if since is None else since))

        self._store.write(work)

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
    size, looked_at, last = 0, 0, after
    for last, packed in islice(one.root.after(batch.txn, after), SLICE):
        looked_at += 1
        address = one.documents.address(packed)
        try:
            body = one.documents.at(batch, address, last)
        except RejectedError:
            continue  # it lacks a value: it comes once that is known
        if body is not None:
            documents.append(Assembled(one.name, address, body, batch.position))
            size += len(body)
        if size >= most_bytes:
            break
    return Slice(batch.position, documents, looked_at, last)
