"""The sink: indices, writing, and what is kept in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from cdc_daemon.events import Checkpoint, ColumnType, DeadLetter, DocumentOperation, Generation
    from cdc_daemon.values import Form


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a read model, for deriving the index mapping."""

    name: str
    type: ColumnType | None
    """The type of the value; None for a constant (`example` then shows it), or an object."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """What the configuration says of the field, passed through (`type: keyword`, ...)."""
    example: object = None
    children: tuple[FieldSpec, ...] = ()
    """The fields of an object, or of each of several."""
    nested: bool = False
    """Whether each of several objects is to be searched as a whole."""
    default: object = None
    """What stands for null in it, where there is such a thing."""
    several: bool = False
    """Whether it holds an array of such values, one of each row that is embedded."""


@dataclass(frozen=True, slots=True)
class ReadModel:
    """What a sink must know to make the index of a projection."""

    name: str
    fields: tuple[FieldSpec, ...]
    fingerprint: str
    settings: dict[str, Any] = field(default_factory=dict)
    """Index settings passed through from the configuration."""
    mappings: dict[str, Any] = field(default_factory=dict)
    """Index mapping parameters passed through (`dynamic`, `_routing`, ...)."""
    indexes: tuple[str, ...] = ()
    """What is to be indexed, in the sink's own language: for sinks that don't index everything."""
    digests: dict[str, str] = field(default_factory=dict)
    """Where it shows every column (`"*"`): of each field, which `fingerprint` then leaves out."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """An operation that the sink will never take as it is."""

    operation: DocumentOperation
    reason: str
    """The class of error, to count by."""
    explanation: str


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a batch; what is in neither list is durable (or older than what is there)."""

    rejected: Sequence[Rejection] = ()
    retry: Sequence[DocumentOperation] = ()
    """Not taken for now (overload): send again."""
    retry_reason: str = ""
    stale: Sequence[DocumentOperation] = ()
    """Older than the document that is there: fine, and counted."""


class Writer(Protocol):
    """One connection to the sink. One sender thread owns it."""

    def write(self, operations: Sequence[DocumentOperation]) -> WriteResult:
        """Return when every operation is durable, rejected or to be retried.

        Raises RetryError when nobody knows (the connection was lost): send all of them again.
        """

    def delete_before(self, index: str, version: int) -> int:
        """Delete every searchable document with a lower version; return how many."""

    def close(self) -> None:
        """Release the connection. Safe to call twice."""


class Sink(Protocol):
    """Where documents go. Its methods may be called from any thread; writers are per thread."""

    def identity(self) -> str:
        """Where the checkpoints are: whoever is told the same shares them, by whatever address.

        The same after a failover. Raises RetryError, SinkError.
        """

    def place(self, index: str) -> str:
        """Which of several sinks the index is in; connects to nothing. Empty where it is one."""

    def form(self, field: FieldSpec, projection: str) -> Form:
        """How the values of `field` are to be written; connects to nothing.

        Raises ConfigurationError where no form fits both the type and what is said of the field.
        """

    def preflight(self, models: Sequence[ReadModel]) -> None:
        """Check that the sink can be used for `models`; touches nothing. Raises SinkError."""

    def create_generation(self, model: ReadModel) -> Generation:
        """Make a new, empty index for `model`; nobody searches it yet."""

    def extend_generation(self, generation: Generation, model: ReadModel) -> bool:
        """Let the index take the fields of `model` that it lacks; False where it can't.

        What its documents hold stays as it is.
        """

    def publish(self, generation: Generation) -> Sequence[str]:
        """Point the read model's alias at `generation`, at once and from nowhere else.

        Returns the indices of ours that had it until now.
        """

    def drop_generation(self, generation: Generation) -> None:
        """Delete an index that nobody searches any more. Quiet if it is gone."""

    def find_generation(self, index: str) -> str | None:
        """The UUID of the index, None if there is none: another UUID is another index."""

    def is_searched(self, projection: str) -> bool:
        """Whether searches for that read model find anything, be it complete or not."""

    def shows_at_once(self, index: str) -> bool:
        """Whether what is durable in the index is found by searches as well, without a refresh.

        Connects to nothing.
        """

    def writer(self, place: str = "") -> Writer:
        """A new connection for a sender thread, to write what has that `place`."""

    def refresh(self, indices: Sequence[str]) -> None:
        """Make everything written before searchable. Raises RetryError if a shard failed."""

    @property
    def checkpoints(self) -> CheckpointStore:
        """Where the checkpoint lives."""

    @property
    def dead_letters(self) -> DeadLetterStore:
        """Where dead letters live."""

    @property
    def documents(self) -> DocumentReader:
        """For looking documents up."""

    def close(self) -> None:
        """Release all connections. Safe to call twice."""


class CheckpointStore(Protocol):
    """Keeps the checkpoint of each pipeline durably, for one process at a time."""

    def load(self, pipeline: str) -> Checkpoint | None:
        """The last one stored; None on the first start."""

    def store(self, checkpoint: Checkpoint) -> None:
        """Return when it is durable.

        Raises TakenOverError if another owner's was stored since this object stored or loaded it.
        """


class DeadLetterStore(Protocol):
    """Keeps dead letters durably."""

    def add(self, letters: Sequence[DeadLetter]) -> int:
        """Return when they are durable: how many were new. Adding one twice keeps one."""

    def list(self, pipeline: str, *, limit: int) -> Sequence[tuple[str, DeadLetter]]:
        """The newest ones with their keys, newest first."""

    def get(self, key: str) -> DeadLetter | None:
        """One dead letter by its key."""

    def count(self, pipeline: str) -> int:
        """How many there are."""


class DocumentReader(Protocol):
    """Looks documents up, for people and for verification."""

    def get(
        self, index: str, document_id: str, routing: str | None = None
    ) -> tuple[int, bytes] | None:
        """Version and document, whether searchable yet or not; None if there is none.

        `index` may be an alias. Without `routing` any document of that id is meant; one that is
        where its id wouldn't put it may have to be searchable for that.
        """


class SinkFactory(Protocol):
    """What an entry point of `cdc_daemon.sinks` names: how to build a sink from its YAML."""

    config_model: type[BaseModel]
    """The pydantic model of the `sink:` section."""

    def __call__(self, config: Any, *, pipeline: str) -> Sink:
        """Build it; connects to nothing yet."""
