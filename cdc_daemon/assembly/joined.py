"""The joined projections of a pipeline: transactions in, documents out, exact at each commit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon.assembly.climbing import BOUNDS
from cdc_daemon.assembly.counting import counts
from cdc_daemon.assembly.documents import Documents
from cdc_daemon.assembly.fanning import FanOuts
from cdc_daemon.assembly.reads import of_root
from cdc_daemon.assembly.roots import Nodes
from cdc_daemon.assembly.touching import Touched
from cdc_daemon.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cdc_daemon.assembly.climbing import Bounds
    from cdc_daemon.assembly.counting import Count
    from cdc_daemon.events import Position
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Batch, Staged, Store, Table


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


class JoinedProjection:
    """One plan at work."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.name = plan.name
        self.number = store.schema.projections[plan.name]
        self.nodes = Nodes(plan.root, of_root(plan), store)
        self.documents = Documents(plan, store)
        self.fan_outs = FanOuts(self.number, self.nodes)

    def touched(self, batch: Batch, found: Touched) -> Iterator[Pending]:
        """The documents that differ, or may; those of fan-outs come later."""
        left = dict(found.left)
        for one in self._of(batch, found.rows):
            left.pop(one.address, None)
            yield one
        for address, key in left.items():
            yield Pending(self.name, address, key)
        self.fan_outs.open(batch, found.wide)

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
        for one in self.touched.values():
            one.after(key, old, new)


class JoinedProjections:
    """All plans of a pipeline over one state, which has what `wanted` says."""

    def __init__(self, plans: Sequence[Plan], store: Store, bounds: Bounds = BOUNDS) -> None:
        self._store = store
        self._bounds = bounds
        self._projections = {plan.name: JoinedProjection(plan, store) for plan in plans}
        self._counts = counts(plans, store)
        self._turns = deque(self._projections.values())
        """Whose fan-outs are gone on with next."""
        self._wide: dict[str, Position] | None = None
        """What `wide_open` says, as long as nothing has changed it."""

    def apply(self, transactions: Sequence[tuple[Staged, Position]]) -> list[Pending]:
        """Apply transactions to the state, all or nothing; return the documents that they touch,
        which are pending there from then on: each once, however many changes hit it.

        Where a row is shown in too many, these are left to `fan_out`.
        """  # noqa: D205 - one sentence
        self._wide = None
        return self._store.write(lambda batch: self._applied(transactions, batch))

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
        oldest = ((one.name, one.fan_outs.oldest(batch)) for one in self._projections.values())
        return {name: position for name, position in oldest if position is not None}

    def _applied(
        self, transactions: Sequence[tuple[Staged, Position]], batch: Batch
    ) -> list[Pending]:
        listener = _Listener(self._projections.values(), self._counts, batch, self._bounds)
        for staged, position in transactions:
            batch.apply(staged, position, listener)
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

    def assemble(self, pending: Iterable[Pending]) -> tuple[Position, list[Assembled]]:
        """Documents as the state is, and where it is: their version.

        One that lacks a value which isn't known yet is left out, and stays pending.
        """
        return self._store.read(
            lambda batch: (batch.position, list(self._assembled(pending, batch)))
        )

    def _assembled(self, pending: Iterable[Pending], batch: Batch) -> Iterator[Assembled]:
        for name, address, key in pending:
            try:
                body = self._projections[name].documents.at(batch, address, key)
            except RejectedError:
                continue
            yield Assembled(name, address, body)

    def pending(self) -> list[Pending]:
        """All documents that the sink isn't known to have."""
        return self._store.read(lambda batch: list(self._all_pending(batch)))

    def _all_pending(self, batch: Batch) -> Iterator[Pending]:
        for one in self._projections.values():
            for found in batch.pending.of(one.number):
                yield Pending(one.name, found.id, found.row_key)

    def written(self, projection: str, addresses: Iterable[bytes], version: Position) -> None:
        """The sink has these documents, as they were at `version`."""
        number = self._projections[projection].number
        self._store.write(lambda batch: batch.pending.written(number, addresses, version))
