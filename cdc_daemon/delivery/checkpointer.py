"""Stores what is durable as the checkpoint, before the source is told.

In a thread of its own: the sink may be slow, and the reader must go on answering the source.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.errors import CdcError
from cdc_daemon.events import NOWHERE, Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cdc_daemon.events import Load, Position, Shape
    from cdc_daemon.ports import CheckpointStore

INTERVAL_SECONDS: Final = 1.0
"""While documents are written: how much is read again after a crash."""

AWAITED_INTERVAL_SECONDS: Final = 0.02
"""While commits may wait for it (strong consistency): all that wait share one."""

IDLE_INTERVAL_SECONDS: Final = 10.0
"""While only other tables change: how often the source may forget their log."""


class Checkpointer(threading.Thread):
    """One thread; `stored` is what the source may be told."""

    def __init__(
        self,
        store: CheckpointStore,
        pipeline: str,
        stored: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__(name="checkpointer", daemon=True)
        self._store = store
        self._checkpoint = Checkpoint(pipeline, NOWHERE, source_id="")
        self._on_stored = stored
        self._failed = failed
        self._changed = threading.Condition()
        self.unseen: Callable[[Position], Collection[int]] = lambda _: ()
        """What `Checkpoint.unseen` is at a position. Whoever offers and notes is asked then."""
        self._wanted = NOWHERE
        self._wanted_unseen: Collection[int] = ()
        """Of all up to `_wanted`."""
        self._wanted_loads: tuple[Load, ...] = ()
        self._wanted_building: tuple[str, ...] = ()
        self._written: Position | None = None
        self._documents = 0
        self._due = 0.0
        self._stored_at = 0.0
        self._awaited = False
        """Whether what was offered last is awaited."""
        self._closed = False

    def begin(self, checkpoint: Checkpoint) -> None:
        """Start from `checkpoint`, which is stored already."""
        self._checkpoint = checkpoint
        self._wanted = checkpoint.position
        self._wanted_unseen = checkpoint.unseen
        self._wanted_loads = checkpoint.loads
        self._wanted_building = checkpoint.building
        self.start()

    @property
    def stored(self) -> Position:
        """The position that is durable as the checkpoint."""
        return self._checkpoint.position

    def offer(
        self, position: Position, documents: int, *, urgent: bool = False, awaited: bool = False
    ) -> None:
        """`position` is durable: store it when it is time, or at once, or soon if it is awaited.

        `documents` counts what was sent until now: it tells a busy source from an idle one.
        """
        if position <= self._wanted and not urgent:
            return
        with self._changed:
            self._wanted = max(position, self._wanted)
            self._wanted_unseen = self.unseen(self._wanted)
            self._awaited = awaited
            idle = documents == self._documents
            self._documents = documents
            if urgent:
                self._due = 0.0
            elif awaited:
                self._due = min(self._due, self._stored_at + AWAITED_INTERVAL_SECONDS)
            elif not idle:
                self._due = min(self._due, self._stored_at + INTERVAL_SECONDS)
            self._changed.notify_all()

    @property
    def stored_loads(self) -> tuple[Load, ...]:
        """What the stored checkpoint says is still to be loaded."""
        return self._checkpoint.loads

    @property
    def stored_building(self) -> tuple[str, ...]:
        """The joined projections of which the stored checkpoint says that nobody searches them."""
        return self._checkpoint.building

    @property
    def is_current(self) -> bool:
        """Whether all that was noted, but for the position, is stored."""
        stored = self._checkpoint
        noted = (self._wanted_loads, self._wanted_building, self._written)
        return (stored.loads, stored.building, stored.written) == noted

    def note(self, loads: tuple[Load, ...], building: tuple[str, ...] = ()) -> None:
        """This is still to be loaded, or written: store it with the next checkpoint, soon."""
        with self._changed:
            if (loads, building) != (self._wanted_loads, self._wanted_building):
                self._wanted_loads, self._wanted_building = loads, building
                self._wanted_unseen = self.unseen(self._wanted)
                # One that is done is waited for: searches are to see it.
                left = len(loads) + len(building)
                before = len(self.stored_loads) + len(self.stored_building)
                wait = INTERVAL_SECONDS if left >= before else 0.0
                self._due = min(self._due, self._stored_at + wait)
                self._changed.notify_all()

    def finish(self, written: Position) -> None:
        """Nothing is written any more, and no document has a higher version: store that now."""
        with self._changed:
            self._written = written
            self._due = 0.0
            self._changed.notify_all()

    def adopt(self, shapes: Mapping[str, Shape]) -> None:
        """The tables look like this now, and nothing had to be done: goes with the next one."""
        with self._changed:
            self._checkpoint = replace(self._checkpoint, shapes=dict(shapes))

    def close(self) -> None:
        """Make the thread end; what was offered is not stored any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def run(self) -> None:
        """Store until closed."""
        try:
            while (checkpoint := self._next()) is not None:
                self._save(checkpoint)
        except (CdcError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._failed(error)

    def _next(self) -> Checkpoint | None:
        with self._changed:
            while not self._closed:
                wait = self._due - time.monotonic()
                new = self._wanted > self.stored or not self.is_current
                if new and wait <= 0:
                    return replace(
                        self._checkpoint,
                        position=max(self._wanted, self.stored),
                        loads=self._wanted_loads,
                        building=self._wanted_building,
                        unseen=tuple(sorted(self._wanted_unseen)),
                        written=self._written,
                    )
                self._changed.wait(wait if new else None)
            return None

    def _save(self, checkpoint: Checkpoint) -> None:
        for attempt in retrying():
            with attempt:
                if self._closed:
                    return
                self._store.store(checkpoint)
        with self._changed:
            self._checkpoint = replace(checkpoint, shapes=self._checkpoint.shapes)
            self._stored_at = time.monotonic()
            if self._awaited and self._wanted > self.stored:  # offered while this was stored
                self._due = self._stored_at + AWAITED_INTERVAL_SECONDS
            else:
                self._due = self._stored_at + (IDLE_INTERVAL_SECONDS if self.is_current else 0.0)
        self._on_stored()
