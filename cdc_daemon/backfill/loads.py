"""The loads that are under way: which chunk comes next, what is being read, what is durable.

Workers take work from here and bring chunks back; the reader takes those, and says when they are
durable. One condition guards all of it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.backfill.activeload import ActiveLoad, Work
from cdc_daemon.backfill.todo import blocks, merged, resumed, without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cdc_daemon.backfill.targets import Target
    from cdc_daemon.backfill.window import LoadedChunk
    from cdc_daemon.events import Chunk, Load, Relation
    from cdc_daemon.ports import ChunkReader, Visibility

SPARE_CHUNKS: Final = 2
"""Chunks that wait for the stream or for the sink, beside one for each worker: this bounds what
a backfill holds in memory."""
IDLE_SECONDS: Final = 1.0
"""How often a worker that has nothing to read takes a snapshot, so that the window can forget."""


class News(NamedTuple):
    """What workers have brought, all at one moment: what they read from then on is read later."""

    arrivals: list[tuple[int, Visibility, LoadedChunk]]
    """The chunks, each with its worker and the snapshot that it was read in."""
    snapshots: list[tuple[int, Visibility]]
    """The last snapshot of each worker that read nothing in it."""
    away: frozenset[int]
    """The workers that have no connection."""


class Loads:
    """Shared by the workers and the reader."""

    def __init__(self, workers: int, arrived: Callable[[], None]) -> None:
        self._most_out = workers + SPARE_CHUNKS
        self._on_arrived = arrived
        self._changed = threading.Condition()
        self._active: dict[int, ActiveLoad] = {}
        self._arrived: deque[tuple[int, Visibility, LoadedChunk]] = deque()
        self._snapshots: dict[int, tuple[int, Visibility]] = {}
        """What idle workers see: connection and snapshot of each."""
        self._away: set[int] = set()
        self.connection = 0
        """Counts the connections of the stream. Only the reader changes it."""
        self._number = 0
        self.closed = False
        self.paused = False

    def add(
        self,
        relation: Relation,
        targets: Mapping[str, Target],
        load: Load,
        settler: ChunkReader | None = None,
    ) -> None:
        """Begin a load, or go on with it: for `targets` by name."""
        with self._changed:
            self._number += 1
            self._active[self._number] = ActiveLoad(
                self._number,
                relation,
                targets,
                load,
                load.todo,
                load.settled,
                load.rows,
                load.blocks,
                settler,
            )
            self._changed.notify_all()

    def cancel(self, load: ActiveLoad) -> None:
        """Read no more of it. What is being read for it still comes, and is for nobody."""
        with self._changed:
            load.cancelled = True
            del self._active[load.number]
            self._end_settling(load)
            self._changed.notify_all()

    def of(self, chunk: LoadedChunk) -> ActiveLoad | None:
        """The load of a chunk, if somebody still wants it."""
        with self._changed:
            return self._active.get(chunk.load)

    def read_rows(
        self, load: ActiveLoad, keys: tuple[tuple[str, ...], ...], *, wait_seconds: float
    ) -> None:
        """Go on with a load that seemed done: the state lacks values of these rows."""
        with self._changed:
            load.lacking = load.lacked = keys
            load.lacking_at = time.monotonic() + wait_seconds
            self._active[load.number] = load
            self._changed.notify_all()

    def take(self) -> Work | None:
        """Wait for work; None when there will be none. Workers call it."""
        idle_at = time.monotonic() + IDLE_SECONDS
        with self._changed:
            while not self.closed:
                now = time.monotonic()
                work = None if self.paused else self._next(now)
                if work is None and now >= idle_at:
                    work = Work(connection=self.connection)
                if work is not None:
                    return work
                moments = (at for load in self._active.values() for at in load.moments())
                soonest = min((at for at in moments if at > now), default=idle_at)
                self._changed.wait(min(soonest, idle_at) - now)
            return None

    def _next(self, now: float) -> Work | None:
        if sum(load.out for load in self._active.values()) >= self._most_out:
            return None
        for load in self._active.values():
            load.take_up_postponed(now)
            if not load.planned and not load.out and load.plan_at <= now:
                load.out += 1
                return Work(load, connection=self.connection)
            if load.planned and load.queue:
                load.out += 1
                return Work(load, load.queue.popleft(), connection=self.connection)
            if load.lacking and load.lacking_at <= now:
                load.out += 1
                keys, load.lacking = load.lacking, ()
                return Work(load, keys=keys, connection=self.connection)
        return None

    def planned(self, load: ActiveLoad, chunks: Iterable[Chunk]) -> None:
        """A worker brings the plan of a load."""
        with self._changed:
            plan = list(chunks)
            left = plan if load.todo is None else resumed(plan, load.todo)
            load.queue = deque(left)
            load.postponed = []
            load.blocks = blocks(plan)
            done = [chunk for chunk in load.todo or () if chunk.first == chunk.end]
            load.todo = merged([*left, *done])
            load.planned = True
            load.failures.clear()
            load.out -= 1
            self._changed.notify_all()
        self._on_arrived()

    def rewritten(self, load: ActiveLoad) -> None:
        """A worker has found that the table isn't what was planned."""
        with self._changed:
            load.planned = False
            load.queue.clear()
            load.postponed = []
            load.out -= 1
            self._end_settling(load)
            self._changed.notify_all()

    def put_off(self, work: Work) -> None:
        """A worker can't do that now: somebody does after a while, and other work meanwhile."""
        with self._changed:
            if work.load is not None:
                work.load.out -= 1
                work.load.put_off(work, time.monotonic())
                self._end_settling(work.load)
            self._changed.notify_all()

    def left(self, worker: int) -> None:
        """A worker has no connection: nobody waits for what it sees."""
        with self._changed:
            self._away.add(worker)
        self._on_arrived()

    def came_back(self, worker: int) -> None:
        """It has one again, and has read nothing by it yet."""
        with self._changed:
            self._away.discard(worker)

    def failed(self, load: ActiveLoad, error: Exception) -> None:
        """A worker has found that only a person can make the load go on."""
        load.failure = error
        self._on_arrived()

    def brought(self, worker: int, seen: Visibility, chunk: LoadedChunk) -> None:
        """A worker has read a chunk, in a snapshot that sees this."""
        with self._changed:
            self._arrived.append((worker, seen, chunk))
            load = self._active.get(chunk.load)
            if load is not None:
                load.failures.pop(chunk.chunk.table if chunk.chunk else "", None)
            if load is not None and chunk.rest is not None:
                load.queue.appendleft(chunk.rest)
                self._changed.notify_all()
        self._on_arrived()

    def looked(self, worker: int, connection: int, seen: Visibility) -> None:
        """A worker has taken a snapshot, and reads nothing in it."""
        with self._changed:
            self._snapshots[worker] = (connection, seen)
        self._on_arrived()

    def news(self) -> News:
        """What has come since the last call. The reader calls it."""
        with self._changed:
            snapshots = [
                (worker, seen)
                for worker, (connection, seen) in self._snapshots.items()
                if connection == self.connection
            ]
            news = News(list(self._arrived), snapshots, frozenset(self._away))
            self._arrived.clear()
            self._snapshots.clear()
            return news

    def again(self, chunk: LoadedChunk, *, wait_seconds: float = 0.0) -> None:
        """The chunk must be read once more, after a while."""
        with self._changed:
            load = self._active[chunk.load]
            load.out -= 1
            # Rows that were read by key are looked for again where they lack a value.
            if load.planned and chunk.chunk is not None:
                load.postponed.append((time.monotonic() + wait_seconds, chunk.chunk))
            self._changed.notify_all()

    def written(self, chunk: LoadedChunk) -> None:
        """What was read is in the sink, or the state: nothing of it is held, and more is read."""
        for contents in chunk.contents.values():
            contents.clear()
        with self._changed:
            load = self._active.get(chunk.load)
            if load is not None:
                load.out -= 1
                self._changed.notify_all()

    def durable(self, chunk: LoadedChunk) -> None:
        """And so is what the stream has taken out of it: it needn't be read again."""
        with self._changed:
            load = self._active.get(chunk.load)
            if load is not None and chunk.chunk is not None:
                load.rows += chunk.rows
                load.todo = without(load.todo or (), chunk.chunk)

    def take_done(self) -> list[ActiveLoad]:
        """The loads that are done; they are active no longer."""
        with self._changed:
            done = [load for load in self._active.values() if load.is_done]
            for load in done:
                del self._active[load.number]
            return done

    @property
    def out(self) -> int:
        """Chunks that are being read, wait, or aren't in the sink."""
        with self._changed:
            return sum(load.out for load in self._active.values())

    @property
    def active(self) -> list[ActiveLoad]:
        """The loads that aren't done."""
        with self._changed:
            return list(self._active.values())

    def pause(self, *, paused: bool) -> None:
        """Read nothing for now, or go on."""
        with self._changed:
            self.paused = paused
            self._changed.notify_all()

    def close(self) -> None:
        """Make the workers end."""
        with self._changed:
            self.closed = True
            for load in self._active.values():
                self._end_settling(load)
            self._changed.notify_all()

    def _end_settling(self, load: ActiveLoad) -> None:
        """Of a load that nobody goes on with; who uses the connection just now comes here later."""
        if (load.cancelled or self.closed) and not load.out:
            load.end_settling()
