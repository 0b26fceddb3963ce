"""The reader: read -> fold -> project -> dispatch -> confirm. One thread runs it.

What comes back from the other threads is only "durable up to here" and "searchable up to here".
"""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.alone import Alone
from cdc_daemon.committing import Committing
from cdc_daemon.delivery.confirming import Confirming
from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.delivery.transactions import OpenTransactions
from cdc_daemon.errors import RetryError, StartAgainError
from cdc_daemon.events import (
    Change,
    Commit,
    OwnVersion,
    Position,
    StreamAbort,
    StreamStart,
    StreamStop,
    Watermark,
)
from cdc_daemon.sharing.slots import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cdc_daemon.backfill.backfill import Backfill
    from cdc_daemon.backfill.filler import HoleFiller
    from cdc_daemon.covering import Covered
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Event, Relation
    from cdc_daemon.joining import Joiner
    from cdc_daemon.ports import Source
    from cdc_daemon.projection.flat import FlatProjection
    from cdc_daemon.sharing.slots import Share

log = structlog.get_logger(__name__)

READ_TIMEOUT_SECONDS: Final = 1.0
WAITED_FOR_SECONDS: Final = 0.1
"""While rows that were read wait for the stream: it may stand still, and need a nudge."""

LINGER_SECONDS: Final = 0.05
"""Under load a batch is handed over when it is large, or this old."""

HEARTBEAT_SECONDS: Final = 0.5
"""While the queues are full nothing is read, but the source must hear from us."""

HEALTHY_SECONDS: Final = 10.0
"""A connection that held so long was a good one: after it, waits between attempts begin anew."""


class Stopped(Exception):  # noqa: N818 - not an error: how a stop unwinds the reader
    """The daemon was asked to stop."""


class Pipeline:
    """Follows a source, and knows nothing of which one it is."""

    def __init__(  # noqa: PLR0913 - what it is connected to, each by its name
        self,
        *,
        source: Source,
        source_id: str,
        relations: Sequence[Relation],
        indices: Sequence[tuple[FlatProjection, str]],
        delivery: Delivery,
        backfill: Backfill,
        filler: HoleFiller,
        transaction_bytes: int,
        spill_folder: Path,
        most_spilled_bytes: int | None = None,
        stopping: Callable[[], bool],
        state: Callable[[str], None],
        connected: Callable[[], None] = lambda: None,
        joiner: Joiner | None = None,
        covered: Mapping[str, Covered] = MappingProxyType({}),
        share: Share = EVERYTHING,
    ) -> None:
        self._source = source
        self._source_id = source_id
        self._relations = relations
        self._delivery = delivery
        self._backfill = backfill
        self._filler = filler
        self._stopping = stopping
        self._state = state
        self._connected = connected
        self._joiner = joiner
        self._transactions = OpenTransactions(
            relations, indices, transaction_bytes, spill_folder, joiner, most_spilled_bytes
        )
        self._committing = Committing(
            transactions=self._transactions,
            delivery=delivery,
            backfill=backfill,
            filler=filler,
            joiner=joiner,
            covered=covered,
            share=share,
        )
        self._alone = Alone(delivery, backfill, joiner, stopping)
        self._released_at = 0.0
        self._confirming = Confirming(source, delivery)
        self._source_is_lost = False

    def follow_for_ever(self, after: Position) -> None:
        """Follow from just after `after` until asked to stop; connect again whenever it must be."""
        progress = self._delivery.progress
        progress.received = max(after, progress.received)
        self._delivery.dispatcher.wait_for_room = self._wait_for_room
        try:
            while not self._stopping():
                for attempt in retrying():
                    with attempt:
                        self._follow_while_connected()
        except Stopped:
            return
        finally:
            self._transactions.forget()
            if self._joiner is not None:
                self._joiner.forget()

    def _follow_while_connected(self) -> None:
        """Return when a good connection was lost; raise RetryError when it was none."""
        began = time.monotonic()
        try:
            self._start()
            self._follow()
        except RetryError as error:
            log.warning("source_lost", error=str(error), reason=error.reason)
            self._delivery.metrics.reconnected("source")
            self._delivery.metrics.failed()
            self._state("waiting")
            if time.monotonic() - began < HEALTHY_SECONDS:
                raise

    def _start(self) -> None:
        """Start the stream after what was received: an unfinished transaction comes again."""
        self._transactions.forget()
        for attempt in retrying():
            with attempt:
                if self._stopping():
                    raise Stopped
                self._delivery.raise_failure()
                try:
                    self._connect()
                except RetryError:
                    self._alone.write()
                    if self._stopping():
                        raise Stopped from None
                    raise
        # Only now: a source that crashes from here on cuts the stream, and this comes again.
        self._backfill.connected_again()
        self._filler.connected_again()
        if self._joiner is not None:
            self._joiner.connected_again()
        self._connected()
        # The source may have been away for long: that was no sign of a reader that is stuck.
        self._delivery.heard_from_reader = time.monotonic()
        self._state("loading" if self._backfill.loading else "streaming")
        log.info("streaming", after=self._source.show(self._delivery.progress.received))

    def _connect(self) -> None:
        self._require_same_history()
        received, whole = self._delivery.progress.received, self._joiner is not None
        with self._source.starting():
            self._source.start(
                self._relations,
                received,
                whole=whole,
                silence_seconds=self._delivery.monitor.strong.silence_seconds,
            )

    def _require_same_history(self) -> None:
        """After a failover or a restore the same position may be another commit."""
        found = self._source.identity()
        if found != self._source_id:
            raise StartAgainError(
                f"the source's history is another one now: {found}, it was {self._source_id} (a "
                "failover, or a restore)"
            )

    def _follow(self) -> None:
        held = False
        while not self._stopping():
            # While anything is held back, look only whether more has come, and don't wait for it.
            events = self._source.read(0.0 if held else self._patience_seconds())
            urgent = self._take(events)
            self._filler.require_all()
            more = self._joiner is not None and self._joiner.step()
            awaited = self._delivery.take_awaited()
            held = self._hold_back() if (events or more) and not awaited else self._release()
            if self._backfill.has_work:
                self._backfill.step()
                self._state("loading" if self._backfill.loading else "streaming")
            if self._filler.active:
                self._filler.step()
            self._report(urgent=urgent)

    def _patience_seconds(self) -> float:
        """How long to wait for the source, where nothing else wakes us."""
        if self._backfill.is_pressing:
            return 0.0
        waits = self._backfill.waits or self._filler.active
        waits = waits or self._awaits_state
        return WAITED_FOR_SECONDS if waits else READ_TIMEOUT_SECONDS

    @property
    def _awaits_state(self) -> bool:
        """Whether a commit may wait until the state of joined read models is on disk."""
        progress = self._delivery.progress
        return self._confirming.awaits_durable and progress.synced < progress.received

    def _take(self, events: Sequence[Event]) -> bool:
        """Handle what was read; whether the source wants to know at once what is durable."""
        urgent = False
        transactions = self._transactions
        destinations = transactions.destinations
        for event in events:
            if type(event) is Change:
                destination = destinations[event.relation]
                destination.counts[event.kind] += 1
                for apply, fold in destination.targets:
                    apply(event, fold)
                if destination.take_row is not None:
                    destination.take_row(event)
            elif type(event) is Commit:
                self._pass(event.start)
                self._committing.commit(event)
                self._pass(event.position)
                self._confirming.committed(event.position)
            else:
                urgent = self._turn(event) or urgent
                destinations = transactions.destinations
        self._settle()
        return urgent

    def _turn(self, event: Event) -> bool:
        """Another transaction is meant from now on, or none; whether the source waits for us."""
        if isinstance(event, Watermark):
            self._delivery.monitor.delays.advanced(received=event.position)
            self._pass(event.position)
            self._confirming.passed(event.position)
            return event.urgent
        if isinstance(event, StreamStart | StreamStop | StreamAbort):
            self._transactions.follow(event)
        if isinstance(event, OwnVersion):
            self._transactions.number(event.version)
        return False

    def _settle(self) -> None:
        """What was read together is joined together, and what it needs of memory is bounded."""
        if self._joiner is not None:
            self._joiner.flush()
        if spilled := self._transactions.spill_if_large():
            self._delivery.metrics.spilled(spilled)

    def _pass(self, position: Position) -> None:
        """Everything up to `position` is on its way; or soon, where documents are joined."""
        if self._joiner is not None and self._joiner.holds:
            self._joiner.passed(position)
            return
        progress = self._delivery.progress
        progress.received = max(progress.received, position)

    def _hold_back(self) -> bool:
        """Let batches grow while more is coming, but not for long; whether anything is held."""
        if time.monotonic() - self._released_at >= LINGER_SECONDS:
            return self._release()
        return True

    def _release(self) -> bool:
        """Hand small batches over; nothing is held back then."""
        self._delivery.dispatcher.release()
        self._released_at = time.monotonic()
        return False

    def _report(self, *, urgent: bool = False) -> None:
        """Tell the checkpointer what is durable, and the source what is checkpointed."""
        delivery = self._delivery
        delivery.raise_failure()
        delivery.heard_from_reader = time.monotonic()
        delivery.tell_delays()
        delivery.moved()
        if self._joiner is not None:
            self._joiner.keep(urgent=urgent, awaited=self._confirming.awaits_durable)
        if self._confirming.report(urgent=urgent):
            self._count()

    def _count(self) -> None:
        metrics = self._delivery.metrics
        for table, kind, count in self._transactions.take_counts():
            metrics.received(table, kind, count)
        metrics.open_transactions(self._transactions.in_parts, self._transactions.held_bytes)

    def report(self) -> None:
        """Tell the source how far we are, while stopping.

        Without it what was read is written all the same: the checkpoint says so to the next start.
        """
        if self._backfill.active:
            self._backfill.note_durable()
        try:
            self._report(urgent=True)
        except RetryError as error:
            if not self._source_is_lost:
                self._source_is_lost = True
                log.warning("stopping_without_source", error=str(error))

    def _wait_for_room(self) -> None:
        """Wait for a sender, while the source hears from us."""
        self._delivery.wait(HEARTBEAT_SECONDS)
        self._report()
        if self._stopping():
            raise Stopped
