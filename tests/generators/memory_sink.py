"""A sink in memory that fails on purpose, with everything it is asked for written down."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdc_daemon.errors import RetryError
from cdc_daemon.events import Checkpoint, DeadLetter, Generation
from cdc_daemon.ports import FieldSpec, ReadModel, Rejection, WriteResult
from cdc_daemon.values import Form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import DocumentOperation

POISON = b'"poison"'
"""A body that the sink never takes."""


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

    def identity(self) -> str:
        """There is no other one."""
        return "memory"

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

    def is_searched(self, projection: str) -> bool:
        """Whether it has an alias."""
        return projection in self.aliases

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
