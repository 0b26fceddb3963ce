"""The reader's end of joined read models: takes changes in, and sends the documents they touch."""

from __future__ import annotations

import time
from collections import deque
from itertools import groupby, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cdc_daemon.assembly import JoinedProjections, Written
from cdc_daemon.errors import SchemaChangedError
from cdc_daemon.joining.inflight import InFlight
from cdc_daemon.state import Staged

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from cdc_daemon.assembly import Assembled, Pending
    from cdc_daemon.covering import Covered
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Change, Commit, Position, Relation
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Store

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
        self._store = store
        self._projections = JoinedProjections(plans, store)
        self._indices = indices
        self._delivery = delivery
        self._transaction_bytes = transaction_bytes
        self._folder = folder
        self._covered = covered
        self._staged = self._stage()
        self._misfits: dict[str, str] = {}
        """Why changes of a table can't be understood, by its name."""
        self._queue: list[tuple[Staged, Position]] = []
        self._queued_bytes = 0
        self._reached = delivery.progress.received
        """What is received once all that is queued is on its way."""
        self._unsent: deque[Pending] = deque()
        self._in_flight = InFlight(delivery.dispatcher)
        self._has_applied = False
        self._synced_at = 0.0
        delivery.dispatcher.routed = frozenset(
            indices[plan.name] for plan in plans if plan.routing is not None
        )

    def begin(self) -> None:
        """Nothing was sent yet: what the sink isn't known to have is sent again."""
        self._unsent = deque(self._projections.pending())
        self._sync()

    @property
    def relations(self) -> Collection[Relation]:
        """The tables that any of them reads."""
        return self._store.tables.keys()

    def take(self, change: Change) -> None:
        """A change of the transaction that is being read, of one of the `relations`."""
        self._staged.put(change)

    def take_misfit(self, change: Change) -> None:
        """The same of a table in another shape than they were compiled for."""
        relation = change.relation
        self._misfits.setdefault(relation.qualified_name, relation.misfit)

    def commit(self, commit: Commit) -> None:
        """Queue what the transaction did. Raises SchemaChangedError on a shape unknown."""
        if not (self._staged or self._misfits):
            return
        left_out = {
            relation.qualified_name: relation
            for relation in self.relations
            if self._is_left_out(relation, commit)
        }
        for table in self._misfits.keys() - left_out.keys():
            shown_by = (commit.position, commit.xid)
            raise SchemaChangedError(table, self._misfits[table], shown_by=shown_by)
        self._misfits = {}
        self._staged.leave_out(left_out.values())
        self._queue.append((self._staged, commit.position))
        self._queued_bytes += self._staged.size_bytes
        self._staged = self._stage()

    def _is_left_out(self, relation: Relation, commit: Commit) -> bool:
        """Whether the load of the table has what the transaction did to it."""
        covered = self._covered.get(relation.qualified_name)
        return covered is not None and covered.leaves_out(commit.position, commit.xid)

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
            touched = self._projections.apply(self._queue, self._in_flight.take_passed())
            self._has_applied = True
            self._forget_queue()
            self._unsent.extend(touched)
        self._send()
        progress = self._delivery.progress
        progress.received = max(progress.received, self._reached)

    def _send(self) -> None:
        while self._unsent:
            slice_ = list(islice(self._unsent, SLICE_DOCUMENTS))
            assembly = self._projections.assemble(slice_, SLICE_BYTES)
            for name, documents in groupby(assembly.documents, key=lambda one: one.projection):
                self._send_some(name, assembly.position, list(documents))
            # Only now: what is sent twice is the same, what is forgotten would be missing.
            for _ in range(assembly.looked_at):
                self._unsent.popleft()

    def _send_some(self, name: str, version: Position, documents: Sequence[Assembled]) -> None:
        dispatcher = self._delivery.dispatcher
        contents = [(one.address, one.body) for one in documents]
        after = self._delivery.progress.received
        dispatcher.send(self._indices[name], version, contents, after=after)
        self._in_flight.sent(Written(name, one.address, version) for one in documents)

    def keep(self, *, urgent: bool) -> None:
        """Bring the state to disk, if it is time: no more than is there may be confirmed."""
        wait = SYNC_SECONDS if self._has_applied else IDLE_SYNC_SECONDS
        if urgent or time.monotonic() - self._synced_at >= wait:
            self._sync()

    def _sync(self) -> None:
        progress = self._delivery.progress
        self._projections.reach(progress.received, self._in_flight.take_passed())
        progress.synced = self._store.sync()
        self._has_applied = False
        self._synced_at = time.monotonic()

    def connected_again(self) -> None:
        """The stream has a new connection: what wasn't applied comes again."""
        self.forget()
        self.flush()

    def forget(self) -> None:
        """Let go of what was read, and isn't in the state."""
        self._staged.close()
        self._staged = self._stage()
        self._misfits = {}
        self._forget_queue()
        self._reached = self._delivery.progress.received

    def _forget_queue(self) -> None:
        for staged, _ in self._queue:
            staged.close()
        self._queue = []
        self._queued_bytes = 0

    def _stage(self) -> Staged:
        return Staged(self._store.tables, self._folder, self._transaction_bytes)
