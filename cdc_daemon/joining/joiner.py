"""The reader's end of joined read models: takes changes in, and sends the documents they touch."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cdc_daemon.assembly import JoinedProjections
from cdc_daemon.events import NOWHERE
from cdc_daemon.joining.intake import Intake, Rejected
from cdc_daemon.joining.sending import Sending
from cdc_daemon.joining.shareddocuments import SharedDocuments
from cdc_daemon.joining.widechanges import WideChanges
from cdc_daemon.sharing.slots import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from cdc_daemon.assembly import Slice
    from cdc_daemon.config.models import MemoryConfig
    from cdc_daemon.covering import Covered
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.events import Change, Commit, Position, Relation
    from cdc_daemon.joining.shareddocuments import Others
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Staged, Store

QUEUE_BYTES: Final = 8_000_000
"""Whole transactions that wait to be applied together: more are no faster."""
SYNC_SECONDS: Final = 1.0
"""How often the state is brought to disk while it changes: as often as a checkpoint is stored."""
AWAITED_SYNC_SECONDS: Final = 0.05
"""While commits may wait for it (strong consistency): all that wait share one."""
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
        memory: MemoryConfig,
        folder: Path,
        most_spilled_bytes: int | None = None,
        covered: Mapping[str, Covered] = MappingProxyType({}),
        meanwhile: Callable[[], None] = lambda: None,
        others: Others | None = None,
    ) -> None:
        """`indices` by the names of the projections; `folder` is for what is spilled, no more than
        `most_spilled_bytes` of it; `meanwhile` is called again and again where much is done at
        once, and must not touch the state; `others` are the replicas that write a part of the
        documents, if there are any.
        """  # noqa: D205 - one sentence
        self.store = store
        self.projections = JoinedProjections(plans, store)
        self.projections.meanwhile = meanwhile
        self._plans = plans
        self._indices = indices
        self._delivery = delivery
        self._intake = Intake(store, covered, memory.transaction, folder, most_spilled_bytes)
        self._queue: list[tuple[Staged, Position]] = []
        self._queued_bytes = 0
        self._reached = delivery.progress.received
        """What is received once all that is queued is on its way."""
        self._applied = self._reached
        """Where the last transaction ends that was applied."""
        self._share = EVERYTHING if others is None else others.share
        self._sending = Sending(self.projections, indices, delivery, self._share)
        self._shared = None if others is None else SharedDocuments(self.projections, others)
        self._wide = WideChanges(self.projections, self._sending, delivery, indices)
        self._sent = 0
        """How many documents of all read models had been sent at the last sync."""
        self._synced_at = 0.0
        delivery.dispatcher.routed = frozenset(
            indices[plan.name] for plan in plans if plan.routing is not None
        )

    def begin(self) -> None:
        """Nothing was sent yet: what the sink isn't known to have is sent again."""
        self._sending.add_all_pending()
        self._wide.look(self._applied)
        self._delivery.progress.synced = NOWHERE
        self._sync()

    @property
    def received(self) -> Position:
        """Everything up to here is applied to the state, or is none of its."""
        return self._delivery.progress.received

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
        if staged.spilled_bytes:
            self._delivery.metrics.spilled(staged.spilled_bytes)
        return staged

    def readers(self, staged: Staged) -> Iterator[str]:
        """The names of the read models that read a table which the transaction has written."""
        for plan in self._plans:
            if not staged.written.isdisjoint(plan.relations):
                yield plan.name

    def _send_rejected(self, rejected: Sequence[Rejected], position: Position) -> None:
        """To every read model that would show them."""
        after = self._delivery.progress.received
        for relation, content in rejected:
            for plan in self._plans:
                if relation in plan.relations and self._share.owns_address(content[0]):
                    index = self._indices[plan.name]
                    self._delivery.dispatcher.send(index, position, [content], after=after)

    @property
    def held_bytes(self) -> int:
        """What is held of the transaction that is being read, in memory and on disk."""
        return self._intake.held_bytes

    @property
    def spilled_bytes(self) -> int:
        """What of it is on disk."""
        return self._intake.spilled_bytes

    @property
    def holds(self) -> bool:
        """Whether anything of what was committed isn't on its way yet."""
        return bool(self._queue or self._sending)

    @property
    def works(self) -> bool:
        """Whether documents are to be sent for which nothing more is to be read."""
        return bool(self._sending) or self._wide.works

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
            written = self._sending.in_flight.take_passed()
            self._sending.add(self.projections.apply(self._queue, written))
            self._delivery.metrics.unchanged(self.projections.unchanged)
            if self.projections.has_more:
                self._sending.add_all_pending()
            self._applied = self._queue[-1][1]
            self._forget_queue()
            self._wide.look(self._applied)
        self._sending.send()
        progress = self._delivery.progress
        progress.received = max(progress.received, self._reached)

    def step(self) -> bool:
        """Go on with changes that very many documents show; whether there is more to do now."""
        return self._wide.step(self._applied)

    def reject(self, relation: Relation, rows: Sequence[Content]) -> None:
        """Existing rows can't be kept, since nobody can read their keys."""
        rejected = [Rejected(relation, content) for content in rows]
        self._send_rejected(rejected, self._delivery.progress.received)

    def write_some(self, projection: str, after: bytes, most_bytes: int) -> Slice:
        """Send the next documents of a projection, whatever the sink has of them.

        First what was pending while it was held: also what an earlier attempt has written, and has
        no row any more. None of that is forgotten before the sink has it: only the state knows it.
        """
        if not after:
            self.projections.reach(self.received)  # their version: it may be in no transaction
            self._sending.add_pending_of(projection)
            self._sending.send()
        found = self.projections.every(projection, after, most_bytes)
        self._sending.load(found.documents)
        return found

    def keep(self, *, urgent: bool, awaited: bool = False) -> None:
        """Bring the state to disk, if it is time: no more than is there may be confirmed."""
        busy = self._sending.in_flight or self._sent != self._delivery.dispatcher.sent
        wait = SYNC_SECONDS if busy else IDLE_SYNC_SECONDS
        if awaited:
            wait = AWAITED_SYNC_SECONDS
        if urgent or time.monotonic() - self._synced_at >= wait:
            self._sync()

    def _sync(self) -> None:
        progress = self._delivery.progress
        written = self._sending.in_flight.take_passed()
        if written or progress.received > progress.synced:
            self.projections.reach(progress.received, written)
            progress.synced = self.store.sync()
        if self._shared is not None:
            self._shared.forget_some()
        self._sent = self._delivery.dispatcher.sent
        self._synced_at = time.monotonic()

    def whole(self, projection: str) -> None:
        """All that it shows is in the state from now on."""
        if self._shared is not None:
            self._shared.whole(projection)

    def written(self, projection: str) -> None:
        """Every document of it is in the sink, as we have written it."""
        if self._shared is not None:
            self._shared.written(projection)

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
