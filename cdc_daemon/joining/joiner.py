"""The reader's end of joined read models: takes changes in, and sends the documents they touch."""

from __future__ import annotations

import time
from collections import deque
from itertools import groupby, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cdc_daemon.assembly import JoinedProjections, Written
from cdc_daemon.events import NOWHERE
from cdc_daemon.joining.inflight import InFlight
from cdc_daemon.joining.intake import Intake, Rejected

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from cdc_daemon.assembly import Assembled, Pending, Slice
    from cdc_daemon.covering import Covered
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.events import Change, Commit, Position, Relation
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Staged, Store, Table

SLICE_DOCUMENTS: Final = 500
SLICE_BYTES: Final = 1_000_000
"""So much is assembled before it is handed over: between slices the bound of the queues is kept."""
QUEUE_BYTES: Final = 8_000_000
"""Whole transactions that wait to be applied together: more are no faster."""
SYNC_SECONDS: Final = 1.0
"""How often the state is brought to disk while it changes: as often as a checkpoint is stored."""
IDLE_SYNC_SECONDS: Final = 10.0
"""And while only other tables change: as often as their log may be forgotten."""


class Joiner:
    """All joined read models of a pipeline, over one state, which has what they want."""

    def __init__(  # noqa: PLR0913 - what it is connected to, each by its name
        self,
        *,
        store: Store,
        plans: Sequence[Plan],
        indices: Mapping[str, str],
        delivery: Delivery,
        transaction_bytes: int,
        folder: Path,
        covered: Mapping[str, Covered] = MappingProxyType({}),
    ) -> None:
        """`indices` by the names of the projections; `folder` is for what is spilled."""
        self.store = store
        self.projections = JoinedProjections(plans, store)
        self._plans = plans
        self._indices = indices
        self._delivery = delivery
        self._intake = Intake(store, covered, transaction_bytes, folder)
        self._queue: list[tuple[Staged, Position]] = []
        self._queued_bytes = 0
        self._reached = delivery.progress.received
        """What is received once all that is queued is on its way."""
        self._unsent: deque[Pending] = deque()
        self._in_flight = InFlight(delivery.dispatcher)
        self._sent = 0
        """How many documents of all read models had been sent at the last sync."""
        self._synced_at = 0.0
        delivery.dispatcher.routed = frozenset(
            indices[plan.name] for plan in plans if plan.routing is not None
        )

    def begin(self) -> None:
        """Nothing was sent yet: what the sink isn't known to have is sent again."""
        self._unsent = deque(self.projections.pending())
        self._delivery.progress.synced = NOWHERE
        self._sync()

    @property
    def relations(self) -> Collection[Relation]:
        """The tables that any of them reads."""
        return self.store.tables.keys()

    def take(self, change: Change) -> None:
        """A change of the transaction that is being read, of one of the `relations`."""
        self._intake.take(change)

    def take_misfit(self, change: Change) -> None:
        """The same of a table in another shape than they were compiled for."""
        self._intake.take_misfit(change)

    def commit(self, commit: Commit) -> Staged | None:
        """Queue what the transaction did, and return it, if it did anything.

        Raises SchemaChangedError on a shape unknown.
        """
        if not self._intake:
            return None
        staged, rejected = self._intake.ended(commit)
        self._send_rejected(rejected, commit.position)
        self._queue.append((staged, commit.position))
        self._queued_bytes += staged.size_bytes
        return staged

    def _send_rejected(self, rejected: Sequence[Rejected], position: Position) -> None:
        """To every read model that would show them."""
        after = self._delivery.progress.received
        for relation, content in rejected:
            for plan in self._plans:
                if relation in plan.relations:
                    index = self._indices[plan.name]
                    self._delivery.dispatcher.send(index, position, [content], after=after)

    @property
    def holds(self) -> bool:
        """Whether anything of what was committed isn't on its way yet."""
        return bool(self._queue or self._unsent)

    def passed(self, position: Position) -> None:
        """Everything up to `position` was read: it is received with what is queued."""
        self._reached = max(self._reached, position)
        if self._queued_bytes >= QUEUE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Apply what is queued, and send the documents that it touches.

        Where that is interrupted (a stop, a source that is lost), the next call goes on.
        """
        if not self.holds:
            return
        if self._queue:
            touched = self.projections.apply(self._queue, self._in_flight.take_passed())
            self._forget_queue()
            self._unsent.extend(touched)
        self._send()
        progress = self._delivery.progress
        progress.received = max(progress.received, self._reached)

    def _send(self) -> None:
        while self._unsent:
            slice_ = list(islice(self._unsent, SLICE_DOCUMENTS))
            assembly = self.projections.assemble(slice_, SLICE_BYTES)
            for name, documents in groupby(assembly.documents, key=lambda one: one.projection):
                self._send_some(name, assembly.position, list(documents))
            # Only now: what is sent twice is the same, what is forgotten would be missing.
            for _ in range(assembly.looked_at):
                self._unsent.popleft()

    def _send_some(self, name: str, version: Position, documents: Sequence[Assembled]) -> None:
        self._dispatch(name, version, documents)
        self._in_flight.sent(Written(name, one.address, version) for one in documents)

    def _dispatch(self, name: str, version: Position, documents: Sequence[Assembled]) -> None:
        dispatcher = self._delivery.dispatcher
        contents = [(one.address, one.body) for one in documents]
        after = self._delivery.progress.received
        dispatcher.send(self._indices[name], version, contents, after=after)
        self._delivery.metrics.assembled(name, len(contents))

    def load(self, table: Table, rows: Sequence[tuple[bytes, bytes]], progress: bytes) -> None:
        """Put existing rows into the state; send documents that showed other ones."""
        self._unsent.extend(self.projections.load(table, rows, progress))
        self._send()

    def reject(self, relation: Relation, rows: Sequence[Content]) -> None:
        """Existing rows can't be kept, since nobody can read their keys."""
        rejected = [Rejected(relation, content) for content in rows]
        self._send_rejected(rejected, self._delivery.progress.received)

    def write_some(self, projection: str, after: bytes, most_bytes: int) -> Slice:
        """Send the next documents of a projection, whatever the sink has of them."""
        found = self.projections.every(projection, after, most_bytes)
        self._dispatch(projection, found.position, found.documents)
        return found

    def keep(self, *, urgent: bool) -> None:
        """Bring the state to disk, if it is time: no more than is there may be confirmed."""
        busy = self._in_flight or self._sent != self._delivery.dispatcher.sent
        wait = SYNC_SECONDS if busy else IDLE_SYNC_SECONDS
        if urgent or time.monotonic() - self._synced_at >= wait:
            self._sync()

    def _sync(self) -> None:
        progress = self._delivery.progress
        written = self._in_flight.take_passed()
        if written or progress.received > progress.synced:
            self.projections.reach(progress.received, written)
            progress.synced = self.store.sync()
        self._sent = self._delivery.dispatcher.sent
        self._synced_at = time.monotonic()

    def connected_again(self) -> None:
        """The stream has a new connection: what wasn't applied comes again."""
        self.forget()
        self.flush()

    def forget(self) -> None:
        """Let go of what was read, and isn't in the state."""
        self._intake.forget()
        self._forget_queue()
        self._reached = self._delivery.progress.received

    def _forget_queue(self) -> None:
        for staged, _ in self._queue:
            staged.close()
        self._queue = []
        self._queued_bytes = 0
