"""A sink, a source and a clock in memory, which fail on purpose: through the ports only."""

from __future__ import annotations

import random
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel

from cdc_daemon.config.models import Configuration, MemoryConfig, ProjectionConfig, StateConfig
from cdc_daemon.errors import ConditionError, ForeignTokenError, RetryError, TokenError
from cdc_daemon.events import (
    Checkpoint,
    Chunk,
    Column,
    ColumnType,
    DeadLetter,
    Generation,
    Relation,
)
from cdc_daemon.ports import (
    CHUNK_BYTES,
    ChunkRows,
    ClockSample,
    FieldSpec,
    FoundRows,
    ReadModel,
    Rejection,
    SlotHealth,
    Standing,
    WriteResult,
)
from cdc_daemon.projection.flat import FlatProjection
from cdc_daemon.values import Form

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cdc_daemon.errors import CdcError
    from cdc_daemon.events import Coverage, DocumentOperation, Event, Position, ReplicaIdentity, Row
    from cdc_daemon.ports import ShapeReader, TableRequest, Visibility

POISON = b'"poison"'
"""A body that the sink never takes."""


class Settings(BaseModel):
    """The section of a connector that needs none."""

    type: str = "fake"


@dataclass
class Trouble:
    """How often what fails: probabilities, by a seed."""

    seed: int = 0
    lost: float = 0.0
    """The connection is lost before anything is written."""
    lost_answer: float = 0.0
    """All is written, and then the connection is lost."""
    overloaded: float = 0.0
    """One operation is to be retried."""
    refresh: float = 0.0
    store: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()

    def strikes(self, probability: float) -> bool:
        """Whether it happens now."""
        with self._lock:
            return self._random.random() < probability


@dataclass
class MemoryIndex:
    """Documents by id with their versions, as written and as searches see them."""

    uuid: str
    documents: dict[bytes, tuple[int, bytes | None]] = field(default_factory=dict)
    searchable: dict[bytes, tuple[int, bytes | None]] = field(default_factory=dict)
    arrived: dict[bytes, list[int]] = field(default_factory=dict)
    """Every version of each document in the order in which it came, repeats included."""


class MemorySink:
    """A `Sink` that writes down what it is asked for, in `said`."""

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.trouble = trouble or Trouble()
        self.lock = threading.Lock()
        self.indices: dict[str, MemoryIndex] = {}
        self.aliases: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self.immediate: set[str] = set()
        """Indices that need no refresh."""
        self.said: list[tuple[str, object]] = []
        self.away = False
        self.gate = threading.Event()
        """Writers wait for it: cleared, nothing is answered."""
        self.gate.set()
        self.checkpoints = MemoryCheckpoints(self)
        self.dead_letters = MemoryDeadLetters(self)
        self.closed_writers = 0

    def note(self, what: str, about: object) -> None:
        """Write down, in order."""
        with self.lock:
            self.said.append((what, about))

    def index(self, name: str) -> MemoryIndex:
        """The index, made if it isn't there."""
        with self.lock:
            return self.indices.setdefault(name, MemoryIndex(f"uuid of {name}"))

    def place(self, index: str) -> str:
        """As the test says; where it says nothing it is one sink."""
        return self.places.get(index, "")

    def form(self, field: FieldSpec, projection: str) -> Form:  # noqa: ARG002 - the port has it
        """Any field takes any value."""
        return Form.VALUE

    def preflight(self, models: Sequence[ReadModel]) -> None:
        """All is well."""

    def create_generation(self, model: ReadModel) -> Generation:
        """Make an index named after how many there are."""
        name = f"{model.name}-{len(self.indices) + 1}"
        self.note("create", name)
        uuid = self.index(name).uuid
        return Generation(model.name, name, uuid, model.fingerprint, model.digests)

    def extend_generation(self, generation: Generation, model: ReadModel) -> bool:
        """Any index takes any field, but for one that is called `other`."""
        self.note("extend", generation.index)
        return "other" not in model.digests

    def publish(self, generation: Generation) -> Sequence[str]:
        """Move the alias."""
        self.refuse_if_away()
        self.note("publish", generation.index)
        before = self.aliases.get(generation.projection)
        self.aliases[generation.projection] = generation.index
        return [before] if before not in {None, generation.index} and before is not None else []

    def drop_generation(self, generation: Generation) -> None:
        """Forget the index."""
        self.note("drop", generation.index)
        self.indices.pop(generation.index, None)

    def find_generation(self, index: str) -> str | None:
        """The UUID of the index."""
        found = self.indices.get(index)
        return None if found is None else found.uuid

    def shows_at_once(self, index: str) -> bool:
        """As the test says."""
        return index in self.immediate

    def writer(self, place: str = "") -> MemoryWriter:  # noqa: ARG002 - the port has it
        """A writer over the same indices."""
        return MemoryWriter(self)

    def refuse_if_away(self) -> None:
        """Raise RetryError while the sink is away."""
        if self.away:
            raise RetryError("the sink is away")

    def refresh(self, indices: Sequence[str]) -> None:
        """Make searchable what is written; sometimes fails after a part of it."""
        self.refuse_if_away()
        for name in indices:
            index = self.index(name)
            with self.lock:
                index.searchable = dict(index.documents)
            if self.trouble.strikes(self.trouble.refresh):
                raise RetryError("a shard failed")
        self.note("refresh", tuple(indices))

    @property
    def documents(self) -> MemoryDocuments:
        """For looking up."""
        return MemoryDocuments(self)

    def close(self) -> None:
        """Nothing to release."""


class MemoryDocuments:
    """A `DocumentReader`."""

    def __init__(self, sink: MemorySink) -> None:
        self._sink = sink

    def get(
        self,
        index: str,
        document_id: str,
        routing: str | None = None,  # noqa: ARG002 - one shard
    ) -> tuple[int, bytes] | None:
        """Version and document."""
        found = self._sink.index(index).documents.get(b'"%b"' % document_id.encode())
        return None if found is None or found[1] is None else (found[0], found[1])


class MemoryWriter:
    """A `Writer`: versions as OpenSearch has them (`external_gte`)."""

    def __init__(self, sink: MemorySink) -> None:
        self._sink = sink

    def write(self, operations: Sequence[DocumentOperation]) -> WriteResult:
        """Write, and fail as the trouble says."""
        sink, trouble = self._sink, self._sink.trouble
        sink.gate.wait()
        sink.refuse_if_away()
        if trouble.strikes(trouble.lost):
            raise RetryError("the connection was lost")
        retry = [one for one in operations if trouble.strikes(trouble.overloaded)]
        taken = [one for one in operations if one not in retry] if retry else operations
        rejected = [one for one in taken if one.body == POISON]
        stale = [one for one in taken if one.body != POISON and not self._write_one(one)]
        if trouble.strikes(trouble.lost_answer):
            raise RetryError("the answer was lost")
        rejections = [Rejection(one, "poison", "the sink never takes it") for one in rejected]
        return WriteResult(rejections, retry, "overloaded" if retry else "", stale)

    def _write_one(self, operation: DocumentOperation) -> bool:
        index = self._sink.index(operation.index)
        with self._sink.lock:
            index.arrived.setdefault(operation.id, []).append(operation.version)
            known = index.documents.get(operation.id)
            if known is not None and known[0] > operation.version:
                return False
            index.documents[operation.id] = (operation.version, operation.body)
            return True

    def delete_before(self, index: str, version: int) -> int:
        """Delete what is older."""
        documents = self._sink.index(index).documents
        old = [key for key, known in documents.items() if known[0] < version and known[1]]
        for key in old:
            documents[key] = (version - 1, None)
        self._sink.note("delete_before", (index, version))
        return len(old)

    def close(self) -> None:
        """Count it."""
        self._sink.closed_writers += 1


class MemoryCheckpoints:
    """A `CheckpointStore`."""

    def __init__(self, sink: MemorySink) -> None:
        self._sink = sink
        self.stored: dict[str, Checkpoint] = {}
        self.begun = 0
        """How often storing was begun."""
        self.gate = threading.Event()
        """Storing waits for it: cleared, nothing is answered."""
        self.gate.set()

    def load(self, pipeline: str) -> Checkpoint | None:
        """The last one."""
        return self.stored.get(pipeline)

    def store(self, checkpoint: Checkpoint) -> None:
        """Keep it, unless the trouble strikes."""
        self.begun += 1
        self.gate.wait()
        self._sink.refuse_if_away()
        if self._sink.trouble.strikes(self._sink.trouble.store):
            raise RetryError("the checkpoint index is away")
        self.stored[checkpoint.pipeline] = checkpoint
        self._sink.note("checkpoint", checkpoint)


class MemoryDeadLetters:
    """A `DeadLetterStore`: adding one twice keeps one."""

    def __init__(self, sink: MemorySink) -> None:
        self._sink = sink
        self.letters: dict[str, DeadLetter] = {}

    def add(self, letters: Sequence[DeadLetter]) -> int:
        """Keep them, unless the trouble strikes."""
        self._sink.refuse_if_away()
        if self._sink.trouble.strikes(self._sink.trouble.store):
            raise RetryError("the dead letter index is away")
        with self._sink.lock:
            before = len(self.letters)
            for letter in letters:
                self.letters[f"{letter.projection} {letter.id} {letter.position}"] = letter
            return len(self.letters) - before

    def list(self, pipeline: str, *, limit: int) -> Sequence[tuple[str, DeadLetter]]:
        """Any of them."""
        found = [one for one in self.letters.items() if one[1].pipeline == pipeline]
        return found[:limit]

    def get(self, key: str) -> DeadLetter | None:
        """One."""
        return self.letters.get(key)

    def count(self, pipeline: str) -> int:
        """How many."""
        return len(self.list(pipeline, limit=1_000_000))


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


INT4 = ColumnType("int4", declared="integer")
TEXT = ColumnType("text", declared="text")


def table(
    *columns: str | Column,
    name: str = "hotel",
    key: tuple[str, ...] = ("id",),
    identity: ReplicaIdentity = "default",
) -> Relation:
    """A relation of text columns; those of the key are integers, and the replica identity."""
    made = tuple(
        column
        if isinstance(column, Column)
        else Column(
            column,
            INT4 if column in key else TEXT,
            nullable=column not in key,
            in_identity=column in key or identity == "full",
            out_of_line=column not in key,
        )
        for column in columns
    )
    return Relation("public", name, made, key, identity)


def projection(name: str = "hotels", relation: Relation | None = None) -> FlatProjection:
    """A projection whose row is `[id as JSON string, document]`, by hand."""
    model = ReadModel(name, (FieldSpec("id", INT4), FieldSpec("name", TEXT)), f"print of {name}")
    return FlatProjection(
        model=model,
        relation=relation or table("id", "name", name=name),
        reads=(0, 1),
        id_of=lambda row: row[0],  # type: ignore[arg-type,return-value]  # bytes
        body_of=lambda row: row[1],  # type: ignore[arg-type,return-value]  # bytes
        includes=None,
        columns_shown={"id": "id", "name": "name"},
        max_document_bytes=1_000_000,
        key=("id",),
    )


def configuration(
    folder: Path,
    *projections: str,
    senders: int = 3,
    queue: int = 4_000_000,
    batch: int = 20_000,
    freshness: float = 0.0,
) -> Configuration:
    """A configuration for fakes."""
    return Configuration(
        name="pipe",
        source=Settings(),
        sink=Settings(),
        projections={
            name: ProjectionConfig.model_validate(
                {"from": f"public.{name}", "fields": "*", "freshness": freshness}
            )
            for name in projections or ("hotels",)
        },
        memory=MemoryConfig(queue=queue, batch=batch, transaction=1_000_000),
        senders=senders,
        state=StateConfig(path=folder),
    )


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether `condition` came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.002)
    return condition()
