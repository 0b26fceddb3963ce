"""The reader of a relay: read -> pass on -> settle -> confirm. One thread runs it.

What is confirmed to the source is what was settled: durable, and in the checkpoint beside it.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.events import NOWHERE, Begin, Change, Commit, Watermark

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from cdc_daemon.consistency.monitor import Monitor
    from cdc_daemon.events import Event, Position
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import Relay, Source
    from cdc_daemon.relaying.searches import Searches
    from cdc_daemon.relaying.start import RelayBegun

log = structlog.get_logger(__name__)

READ_TIMEOUT_SECONDS: Final = 0.5
LOADING_TIMEOUT_SECONDS: Final = 0.1
"""While rows that were read wait for the stream: it may stand still, and need a nudge."""
LINGER_SECONDS: Final = 0.1
"""Under load transactions are settled together for so long: each settling waits for the relay."""
AWAITED_SECONDS: Final = 0.02
"""While commits may wait for us (strong consistency): all that wait share one settling."""
SETTLE_BYTES: Final = 16_000_000
"""Or until they are so large."""
REPORT_SECONDS: Final = 0.1
"""How often the source is told how far we are, where that hasn't changed."""
AWAY_SECONDS: Final = 5.0
"""A settling that takes so long isn't slow: the relay can't be reached."""
AWAY: Final = "the sink doesn't take what was written: it can't be reached, or its disks are full"


class Relaying:
    """Follows a source from one start on, and passes on what it brings."""

    def __init__(
        self,
        source: Source,
        relay: Relay,
        begun: RelayBegun,
        monitor: Monitor,
        metrics: Metrics,
        state: Callable[[str, str], None],
    ) -> None:
        """`state` is told what it does, and while it waits why."""
        self._source = source
        self._relay = relay
        self._relations = begun.relations
        self._monitor = monitor
        self._strong = monitor.strong
        self._metrics = metrics
        self._state = state
        self.checkpoint = begun.checkpoint
        """What is settled."""
        self.received = begun.checkpoint.position
        """What was read: up to here whole transactions, or nothing of ours."""
        self.heard_at = time.monotonic()
        """When the reader last came round."""
        self._is_open = False
        """Whether a transaction of the source has begun, and not ended."""
        self._is_settling = False
        """What was held may not be durable yet, or not be seen, though it's held no more."""
        self._settled_at = self._told_at = time.monotonic()
        self._told = (NOWHERE, NOWHERE, NOWHERE)
        self._waits_since: float | None = None
        self._is_away = False
        self._counts: Counter[tuple[str, str]] = Counter()
        self._unreadable: set[str] = set()
        self._snapshot = begun.snapshot
        self.searches: Searches | None = None
        """Those that commits wait for, too; whoever starts it sets them."""
        self._failure: BaseException | None = None
        begun.snapshot.nudge_by(monitor.nudge_soon)
        relay.wait_by(self._meanwhile)

    @property
    def reached(self) -> Position:
        """Everything up to here is durable; beyond the checkpoint there is nothing of ours."""
        if self._is_open or self._relay.held or self._is_settling:
            return self.checkpoint.position
        return self.received

    def follow(self, stopping: threading.Event) -> None:
        """Follow until asked to stop; then what was read to its end is settled.

        Raises RetryError where either side is lost, and what `fail` was told.
        """
        with self._source.starting():
            self._source.start(
                self._relations,
                self.checkpoint.position,
                whole=True,
                silence_seconds=self._strong.silence_seconds,
            )
        self._show_state()
        log.info("streaming", after=self._source.show(self.checkpoint.position))
        while not stopping.is_set():
            if self._failure is not None:
                raise self._failure
            events = self._source.read(self._patience_seconds())
            urgent = self._take(events)
            if not (self._is_open or self._snapshot.is_over):
                self._load()
            if self._is_due(more=bool(events), urgent=urgent):
                self._settle()
            self._tell(urgent=urgent)
        self._state("stopping", "")
        self._finish()

    def fail(self, error: BaseException) -> None:
        """Another thread has found that this can't go on: it ends between two reads.

        What isn't settled by then comes again, as after a crash.
        """
        self._failure = error
        self._source.wake()

    def _patience_seconds(self) -> float:
        """How long to wait for the source, where nothing else is to be done."""
        if self._relay.held or self._snapshot.can_read:
            return 0.0
        if self._is_passing:
            return AWAITED_SECONDS
        return READ_TIMEOUT_SECONDS if self._snapshot.is_over else LOADING_TIMEOUT_SECONDS

    @property
    def _is_passing(self) -> bool:
        """Whether commits may wait for a position that holds nothing of ours: those of others."""
        return self._strong.waited_for and self.received > self.checkpoint.position

    def _load(self) -> None:
        """Existing rows that the stream has passed; or more of them are read."""
        due = self._snapshot.step(self.received)
        if due is not None:
            relation, rows = due
            self._relay.existing(relation, rows, self.received)
            self._metrics.loaded(relation.qualified_name, len(rows))

    def _show_state(self) -> None:
        self._state("streaming" if self._snapshot.is_over else "loading", "")

    def _take(self, events: Sequence[Event]) -> bool:
        """Pass on what was read; whether the source wants to know at once what is durable."""
        urgent, loading = False, not self._snapshot.is_over
        relay = self._relay
        for event in events:
            if type(event) is Change:
                self._counts[event.relation.qualified_name, event.kind.name.lower()] += 1
                if event.relation.stands_for is not None:
                    self._note_unreadable(event)
                relay.change(event)
                if loading:
                    self._snapshot.change(event)
            elif isinstance(event, Begin):
                self._is_open = True
                relay.begin(event)
                self._snapshot.begin(event.xid, self.received)
            elif isinstance(event, Commit):
                self._commit(event)
            elif isinstance(event, Watermark):
                self._pass(event.position)
                urgent = urgent or event.urgent
        return urgent

    def _commit(self, commit: Commit) -> None:
        """Its end may be the only one for long: under load few reads end behind a commit."""
        self._relay.commit(commit)
        self._is_open = False
        self._metrics.transaction()
        self._monitor.delays.committed(commit.position, commit.time, commit.traceparent)
        self._strong.received(commit.position)
        self._pass(commit.position)
        if self._is_due(more=True, urgent=False):
            self._settle()

    def _pass(self, position: Position) -> None:
        self.received = max(self.received, position)

    def _note_unreadable(self, change: Change) -> None:
        """Its table was altered so that values of before can't be read: it is said, not hidden."""
        table = change.relation.qualified_name
        self._metrics.relay_unreadable(table)
        if table not in self._unreadable:
            self._unreadable.add(table)
            log.warning("change_unreadable", table=table, why=change.relation.misfit)

    def _is_due(self, *, more: bool, urgent: bool) -> bool:
        """Whether to settle now: soon under load, at once when the source pauses or asks."""
        if self._is_open:
            return False
        held, age = self._relay.held, time.monotonic() - self._settled_at
        if held:
            linger_seconds = AWAITED_SECONDS if self._strong.waited_for else LINGER_SECONDS
            return urgent or not more or age >= linger_seconds or held >= SETTLE_BYTES
        if self._relay.is_due or (self._is_passing and age >= AWAITED_SECONDS):
            return True
        if self._snapshot.loads != self.checkpoint.loads:
            return not more
        is_time = urgent or age >= self._relay.idle_seconds
        return is_time and self.received > self.checkpoint.position

    def _settle(self) -> None:
        """Make it durable, all at once: nobody sees a part of it, nor any of it twice."""
        held, began = self._relay.held, time.monotonic()
        if not held and self.received > self.checkpoint.position:
            self._relay.passed(self.received)
        checkpoint = replace(self.checkpoint, position=self.received, loads=self._snapshot.loads)
        # Not before: what commits wait for is that readers see what they wrote.
        seen = held > 0 and (self._strong.is_expected or self._strong.waited_for)
        self._is_settling = held > 0
        self._relay.settle(checkpoint, self._meanwhile, seen=seen)
        self.checkpoint, self._is_settling = checkpoint, False
        self._settled_at = time.monotonic()
        self._metrics.relay_settled(held, self._settled_at - began)
        self._waits_since, self._is_away = None, False
        self._show_state()

    def _meanwhile(self) -> None:
        """While the relay keeps us waiting the source hears from us, and people hear of it."""
        now = time.monotonic()
        self._tell(urgent=False)
        if self._waits_since is None:
            self._waits_since = now
        elif now - self._waits_since >= AWAY_SECONDS and not self._is_away:
            self._is_away = True
            self._state("waiting", AWAY)
            self._metrics.failed()
            log.warning("relay_away", seconds=AWAY_SECONDS)

    def _tell(self, *, urgent: bool) -> None:
        """Tell the source what is settled, and the delay clock how far each stage is."""
        now = self.heard_at = time.monotonic()
        settled, reached = self.checkpoint.position, self.reached
        # Whoever reads what is committed finds it once it is settled: searches may come later.
        shown = settled if self.searches is None else self.searches.up_to(settled)
        telling = (self.received, settled, shown)
        is_news = self._strong.waited_for and telling != self._told
        if not (urgent or is_news or now - self._told_at >= REPORT_SECONDS):
            return
        self._told_at, self._told = now, telling
        if self.searches is not None:
            self._strong.covers_all = self.searches.covers_all
        self._source.confirm(received=self.received, durable=settled, searchable=shown)
        self._strong.reported(shown)
        self._monitor.delays.advanced(
            received=self.received, projected=self.received, indexed=reached, searchable=reached
        )
        self._monitor.raise_failure()
        self._count()

    def _count(self) -> None:
        for (table, kind), count in self._counts.items():
            self._metrics.received(table, kind, count)
        self._counts.clear()

    def close(self) -> None:
        """Release what only this start needs."""
        if self.searches is not None:
            self.searches.stop()
        self._snapshot.close()

    def _finish(self) -> None:
        """Whole transactions are settled; one that hasn't ended comes again, with those held."""
        if self._is_open:
            return
        self.checkpoint = replace(self.checkpoint, written=self.received)
        self._settle()
        self._tell(urgent=True)
