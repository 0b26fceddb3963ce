"""The loads that are under way: which chunk comes next, what is being read, what is durable.

Workers take work from here and bring chunks back; the reader takes those, and says when they are
durable. One condition guards all of it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from cdc_daemon.backfill.speed import Speed
from cdc_daemon.backfill.targets import StateTarget
from cdc_daemon.backfill.todo import blocks, is_done, merged, resumed, without

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


@dataclass(slots=True)
class ActiveLoad:
    """One load, and where it is."""

    number: int
    relation: Relation
    targets: Mapping[str, Target]
    """By the name of what is filled: an index, or a table of the state."""
    asked: Load
    """What is to be done, and how far it was when it was begun or gone on with."""
    todo: tuple[Chunk, ...] | None
    settled: bool
    rows: int
    blocks: int
    settler: ChunkReader | None = None
    """What waits until all is visible from before a load that began beside the stream; workers
    that read already don't look back so far."""
    queue: deque[Chunk] = field(default_factory=deque)
    postponed: list[tuple[float, Chunk]] = field(default_factory=list)
    """Chunks that are read again, each from a moment on."""
    lacking: tuple[tuple[str, ...], ...] = ()
    """Keys of rows that are to be read once more, because the state lacks a value of them."""
    lacked: tuple[tuple[str, ...], ...] = ()
    """Those that were read so last."""
    lacking_at: float = 0.0
    """From this moment on."""
    planned: bool = False
    out: int = 0
    """Chunks that are being read, wait, or aren't durable."""
    speed: Speed = field(default_factory=Speed)
    cancelled: bool = False
    failure: Exception | None = None
    """Why the rest of a repair can't be read: no reason to end what streams."""

    @property
    def is_done(self) -> bool:
        """Whether everything is read and durable."""
        left = self.queue or self.postponed or self.lacking or self.out
        return self.planned and not left and is_done(self.todo or ())

    @property
    def phase(self) -> str:
        """What it does: `planning`, `reading`, or `finishing` (all rows are durable)."""
        if not self.planned:
            return "planning"
        return "finishing" if self.is_done else "reading"

    def take_up_postponed(self, now: float) -> None:
        """Chunks whose moment has come are next."""
        due = [chunk for moment, chunk in self.postponed if moment <= now]
        if due:
            self.queue.extend(due)
            self.postponed = [one for one in self.postponed if one[0] > now]

    @property
    def share_done(self) -> float:
        """0.0 to 1.0, by blocks."""
        if self.todo is None:
            return 0.0
        return 1 - self.blocks_left / self.blocks if self.blocks else 1.0

    @property
    def blocks_left(self) -> int:
        """About how much is neither read nor durable."""
        return blocks(self.todo or ())

    @property
    def repairs(self) -> bool:
        """As `Load.repairs` is."""
        return self.asked.repairs

    @property
    def names(self) -> tuple[str, ...]:
        """The projections that it is for."""
        return tuple(name for target in self.targets.values() for name in target.projections)

    @property
    def fills(self) -> frozenset[str]:
        """The names of its targets."""
        return frozenset(self.targets)

    @property
    def state(self) -> StateTarget | None:
        """The table of the state that it fills, if it does."""
        target = next(iter(self.targets.values()))
        return target if isinstance(target, StateTarget) else None

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of `lacking`."""
        return () if self.state is None else self.state.key

    def settle(self, reader: ChunkReader) -> None:
        """Wait, as `ChunkReader.settle` does, unless that has been waited for."""
        if self.settled:
            return
        (self.settler or reader).settle(self.relation if self.asked.joined else None)
        self.settled = True
        self.end_settling()

    def end_settling(self) -> None:
        """Close the connection that waited."""
        if self.settler is not None:
            self.settler.close()

    def stored(self) -> Load:
        """As the checkpoint keeps it."""
        return replace(
            self.asked,
            projections=self.names,
            todo=None if self.todo is None else merged(self.todo),
            settled=self.settled,
            rows=self.rows,
            blocks=self.blocks,
        )


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker is to do: plan a load, read a chunk or rows of it, or only take a snapshot."""

    load: ActiveLoad | None = None
    chunk: Chunk | None = None
    keys: tuple[tuple[str, ...], ...] = ()
    connection: int = 0
    """Which connection of the stream it is given out under."""


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
                work = None if self.paused else self._next()
                if work is None and time.monotonic() >= idle_at:
                    work = Work(connection=self.connection)
                if work is not None:
                    return work
                self._changed.wait(idle_at - time.monotonic())
            return None

    def _next(self) -> Work | None:
        if sum(load.out for load in self._active.values()) >= self._most_out:
            return None
        now = time.monotonic()
        for load in self._active.values():
            load.take_up_postponed(now)
            if not load.planned and not load.out:
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
            self._changed.notify_all()

    def failed(self, load: ActiveLoad, error: Exception) -> None:
        """A worker has found that only a person can make the load go on."""
        load.failure = error
        self._on_arrived()

    def brought(self, worker: int, seen: Visibility, chunk: LoadedChunk) -> None:
        """A worker has read a chunk, in a snapshot that sees this."""
        with self._changed:
            self._arrived.append((worker, seen, chunk))
            load = self._active.get(chunk.load)
            if load is not None and chunk.rest is not None:
                load.queue.appendleft(chunk.rest)
                self._changed.notify_all()
        self._on_arrived()

    def looked(self, worker: int, connection: int, seen: Visibility) -> None:
        """A worker has taken a snapshot, and reads nothing in it."""
        with self._changed:
            self._snapshots[worker] = (connection, seen)
        self._on_arrived()

    def arrivals(self) -> list[tuple[int, Visibility, LoadedChunk]]:
        """The chunks that workers have brought since the last call. The reader calls it."""
        with self._changed:
            arrived = list(self._arrived)
            self._arrived.clear()
            return arrived

    def snapshots(self) -> list[tuple[int, Visibility]]:
        """The last snapshot of each worker that read nothing in it, since the last call."""
        with self._changed:
            taken = [
                (worker, seen)
                for worker, (connection, seen) in self._snapshots.items()
                if connection == self.connection
            ]
            self._snapshots.clear()
            return taken

    def again(self, chunk: LoadedChunk, *, wait_seconds: float = 0.0) -> None:
        """The chunk must be read once more, after a while."""
        with self._changed:
            load = self._active[chunk.load]
            load.out -= 1
            # Rows that were read by key are looked for again where they lack a value.
            if load.planned and chunk.chunk is not None:
                load.postponed.append((time.monotonic() + wait_seconds, chunk.chunk))
            self._changed.notify_all()

    def durable(self, chunk: LoadedChunk) -> None:
        """The documents of the chunk are durable."""
        with self._changed:
            load = self._active.get(chunk.load)
            if load is not None:
                load.out -= 1
                if chunk.chunk is not None:
                    load.rows += chunk.rows
                    load.todo = without(load.todo or (), chunk.chunk)
                self._changed.notify_all()

    def take_done(self) -> list[ActiveLoad]:
        """The loads that are done; they are active no longer."""
        with self._changed:
            done = [load for load in self._active.values() if load.is_done]
            for load in done:
                del self._active[load.number]
            return done

    @property
    def out(self) -> int:
        """Chunks that are being read, wait, or aren't durable."""
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
            self._changed.notify_all()
