"""One load that is under way, and where it is; and what of it a worker is to do."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from cdc_daemon.backfill.speed import Speed
from cdc_daemon.backfill.targets import StateTarget
from cdc_daemon.backfill.todo import blocks, is_done, merged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdc_daemon.backfill.targets import Target
    from cdc_daemon.events import Chunk, Load, Relation
    from cdc_daemon.ports import ChunkReader

FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 5.0
"""Until what can't be read now is tried again: twice as long each time."""
MOST_DOUBLINGS: Final = 10


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
    plan_at: float = 0.0
    """From this moment on."""
    failures: Counter[str] = field(default_factory=Counter)
    """By the table that is read (none: while it was planned): how often in a row it has failed."""
    out: int = 0
    """Chunks that are being read, wait, or aren't in the sink."""
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

    def put_off(self, work: Work, now: float) -> None:
        """That can't be done now: its moment comes. Nor can, then, what is left of that table."""
        table = work.chunk.table if work.chunk else ""
        doublings = min(self.failures[table], MOST_DOUBLINGS)
        moment = now + min(FIRST_WAIT_SECONDS * 2**doublings, LONGEST_WAIT_SECONDS)
        self.failures[table] += 1
        if work.keys:
            self.lacking, self.lacking_at = work.keys, moment
        elif work.chunk is None:
            self.plan_at = moment
        elif self.planned:
            left = [work.chunk, *(chunk for chunk in self.queue if chunk.table == table)]
            self.postponed += [(moment, chunk) for chunk in left]
            self.queue = deque(chunk for chunk in self.queue if chunk.table != table)

    def moments(self) -> Iterator[float]:
        """When there is more to do, if nothing else happens."""
        yield from (moment for moment, _ in self.postponed)
        if not self.planned:
            yield self.plan_at
        if self.lacking:
            yield self.lacking_at

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
        if not self.settled:
            (self.settler or reader).settle(self.relation if self.asked.joined else None)
            self.settled = True
        self.end_settling()

    def end_settling(self) -> None:
        """Close the connection that waited. Safe to call twice."""
        settler, self.settler = self.settler, None
        if settler is not None:
            settler.close()

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
