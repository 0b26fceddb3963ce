"""A source that gives scripted events and given rows, and its clock: in memory."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc_daemon.errors import ConditionError, ForeignTokenError, TokenError
from cdc_daemon.events import Chunk
from cdc_daemon.ports import CHUNK_BYTES, ChunkRows, ClockSample, FoundRows, SlotHealth, Standing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from cdc_daemon.errors import CdcError
    from cdc_daemon.events import Coverage, Event, Position, Relation, Row
    from cdc_daemon.ports import ShapeReader, TableRequest, Visibility


@dataclass(frozen=True)
class Below:
    """A `Visibility` of a moment when transactions below a number had ended."""

    xid: int

    def sees(self, xid: int) -> bool:
        """Whether it is one of them."""
        return xid < self.xid


class MemoryChunkReader:
    """A `ChunkReader` of given blocks of rows, each one a chunk."""

    def __init__(self, source: ScriptedSource) -> None:
        self._source = source

    def plan(self, relation: Relation) -> list[Chunk]:
        """A chunk for each block."""
        return [
            Chunk(relation.qualified_name, 1, 1, (at, 0), (at + 1, 0))
            for at in range(len(self._source.blocks))
        ]

    def settle(self, joined: Relation | None = None) -> None:
        """All is visible; of a table that has joined it is said so."""
        if joined is not None:
            self._source.said.append(f"settled {joined.qualified_name}")

    def check(self, relation: Relation, where: str) -> None:  # noqa: ARG002 - the port
        """A condition is a part of a row's first value."""
        if self._source.refuses_conditions:
            raise ConditionError("the source refuses the condition")

    def read(self, relation: Relation, chunk: Chunk, where: str = "") -> ChunkRows:  # noqa: ARG002 - the port
        """The block, or what went wrong."""
        self._source.may_read.wait()
        if self._source.chunk_errors:
            raise self._source.chunk_errors.pop()
        rows = [row for row in self._source.blocks[chunk.first[0]] if where.encode() in row[0]]  # type: ignore[operator]
        return ChunkRows(chunk, rows, self.visibility(), self._source.at, None, 1000)

    def read_keys(
        self,
        relation: Relation,  # noqa: ARG002 - the port
        columns: Sequence[str],  # noqa: ARG002 - the port
        keys: Sequence[tuple[str, ...]],
        where: str = "",  # noqa: ARG002 - the port
    ) -> FoundRows:
        """Of the rows by key that the test has set, as of the visibility that it has set."""
        found = [self._source.by_key[key] for key in keys if key in self._source.by_key]
        self._source.said.append(f"read {sorted(keys)}")
        return FoundRows(found, self._source.seen, self._source.at)

    def visibility(self) -> Below:
        """What the source says."""
        return Below(self._source.visible_below)

    def close(self) -> None:
        """Say so."""
        self._source.said.append("chunk reader closed")


class ScriptedSource:
    """A `Source` that gives its scripted events, one list a read; again from any commit."""

    def __init__(self, blocks: Sequence[Sequence[Row]] = (), position: int = 100) -> None:
        self.script: list[Sequence[Event] | Exception] = []
        self.blocks = blocks
        self.at: Position = position  # type: ignore[assignment]
        self.started: list[Position] = []
        self.confirmed: list[tuple[int, int, int]] = []
        self.said: list[str] = []
        self.by_key: dict[tuple[str, ...], Row] = {}
        """What is read by key."""
        self.seen: Visibility = Below(1000)
        self.visible_below = 1000
        """What chunks see: transactions of lower numbers."""
        self.may_read = threading.Event()
        """Chunk readers wait for it."""
        self.may_read.set()
        self.chunk_errors: list[CdcError] = []
        self.refuses_conditions = False
        """What the next reads of chunks raise."""
        self.history = "system/1"
        self.gives_up_place = False
        self._woken = threading.Event()

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """Not asked for here."""
        raise NotImplementedError

    def identity(self) -> str:
        """The history."""
        return self.history

    def shared_until(self, source_id: str) -> Position:  # noqa: ARG002 - the port has it
        """All of it."""
        return self.at

    def prepare(self, relations: Sequence[Relation]) -> dict[str, str]:
        """All is well."""
        return {relation.qualified_name: "member" for relation in relations}

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """All belong to it."""
        return self.prepare(relations)

    def keeps_place(self, relations: Sequence[Relation]) -> bool:  # noqa: ARG002 - the port has it
        """Unless told otherwise."""
        return not self.gives_up_place

    def held_by(self) -> str | None:
        """Nobody."""
        return None

    def place(self) -> Position | None:
        """Where it is."""
        return self.at

    def create_place(self) -> Position:
        """Here."""
        return self.at

    def chunk_reader(self, chunk_bytes: int = CHUNK_BYTES) -> MemoryChunkReader:  # noqa: ARG002 - the port
        """A reader of the blocks."""
        return MemoryChunkReader(self)

    def start(
        self,
        relations: Sequence[Relation],  # noqa: ARG002 - the port
        after: Position,
        *,
        whole: bool = False,  # noqa: ARG002 - the port
        silence_seconds: float | None = None,  # noqa: ARG002 - the port
    ) -> None:
        """Note from where."""
        self.started.append(after)

    def read(self, timeout_seconds: float) -> Sequence[Event]:
        """The next list of the script; raises what is in it."""
        if not self.script:
            self._woken.wait(min(timeout_seconds, 0.05))
            self._woken.clear()
            return []
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def confirm(self, *, received: Position, durable: Position, searchable: Position) -> None:
        """Note it."""
        self.confirmed.append((received, durable, searchable))

    def starting(self) -> AbstractContextManager[None]:
        """Nobody is in the way."""
        return nullcontext()

    def let_commit_go(self, xid: int) -> None:
        """Nobody waits."""

    def give_up_place(self) -> None:
        """Say so."""
        self.said.append("place given up")

    def show(self, position: Position) -> str:
        """As a number."""
        return f"0/{position:X}"

    def wake(self) -> None:
        """Make a read return."""
        self._woken.set()

    def clock(self) -> MemoryClock:
        """A clock at this place."""
        return MemoryClock()

    def token_reader(self) -> MemoryTokens:
        """Of its history."""
        return MemoryTokens(self.history)

    def shape_reader(self) -> ShapeReader:
        """Not asked for here."""
        raise NotImplementedError

    def coverage(self) -> Coverage:
        """Not asked for here."""
        raise NotImplementedError

    def visibility(self, seen: str) -> Below:
        """A number."""
        return Below(int(seen))

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True)
class MemoryTokens:
    """A `TokenReader`: a token is a number, or history, colon and number."""

    epoch: str

    def read(self, token: str) -> Position:
        """The number."""
        epoch, _, number = token.rpartition(":")
        if not number.isdecimal():
            raise TokenError(f"not a token: {token}")
        if epoch not in {"", self.epoch}:
            raise ForeignTokenError(f"of another history: {epoch}")
        return int(number)  # type: ignore[return-value]


class MemoryClock:
    """A `SourceClock` that is this machine's, at a position that is set."""

    def __init__(self) -> None:
        self.position: Position = 0  # type: ignore[assignment]
        self.ahead_seconds = 0.0
        self.failure: Exception | None = None
        self.nudges = 0
        self.nudge_failure: Exception | None = None
        self.health: SlotHealth | None = SlotHealth("slot", True, 10, 5, None)  # noqa: FBT003 - active
        self.stands = Standing()
        self.closed = False

    def sample(self) -> ClockSample:
        """Now, or the failure."""
        if self.failure is not None:
            raise self.failure
        return ClockSample(time.time() + self.ahead_seconds, self.position, 0.0)

    def nudge(self) -> None:
        """Count it, or fail."""
        self.nudges += 1
        if self.nudge_failure is not None:
            raise self.nudge_failure

    def reach(self, position: Position) -> Position:  # noqa: ARG002 - the port has it
        """Where it is, or the failure."""
        if self.failure is not None:
            raise self.failure
        return self.position

    def slot_health(self) -> SlotHealth | None:
        """As set."""
        return self.health

    def standing(self) -> Standing:
        """As set."""
        return self.stands

    def close(self) -> None:
        """Note it."""
        self.closed = True
