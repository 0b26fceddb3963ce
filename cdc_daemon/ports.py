"""What connectors implement. The daemon sees outside systems only through these protocols.

Source side: `Source`, `ChunkReader`, `Visibility`, `ShapeReader`, `SourceClock`. Sink side: `Sink`,
`Writer`, `CheckpointStore`, `DeadLetterStore`, `DocumentReader`. Either may be a `Doctor`. Each
port names its thread; everything raises only the errors of `cdc_daemon.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pydantic import BaseModel

    from cdc_daemon.events import (
        Checkpoint,
        Chunk,
        ColumnType,
        Coverage,
        DeadLetter,
        DocumentOperation,
        Event,
        Generation,
        Position,
        Relation,
        Row,
        Shape,
    )
    from cdc_daemon.values import Form


@dataclass(frozen=True, slots=True)
class TableRequest:
    """A table that the configuration names; `columns` None asks for all of them."""

    name: str
    """`schema.name` or `name`."""
    columns: tuple[str, ...] | None = None


class RetentionStep(IntEnum):
    """How alarming it is what the source keeps for us."""

    QUIET = 0
    WARN = 1
    CRITICAL = 2
    LIMIT = 3


@dataclass(frozen=True, slots=True)
class RetentionBounds:
    """From how many kept bytes on each step is reached; None where there is no such step."""

    warn_bytes: int | None = None
    critical_bytes: int | None = None
    limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SlotHealth:
    """How much the source keeps for us: what protects it from filling its disk."""

    name: str
    active: bool
    retained_bytes: int
    """Log kept because of us."""
    unconfirmed_bytes: int
    """Log that we have not confirmed yet."""
    safe_bytes: int | None
    """What may still be written before the source drops our place; None means no limit."""
    bounds: RetentionBounds = RetentionBounds()
    """What the configuration says of `retained_bytes`."""


@dataclass(frozen=True, slots=True)
class ClockSample:
    """One reading of the source's clock together with its position."""

    source_time: float
    """Seconds since the epoch, in the source server's clock."""
    position: Position
    round_trip_seconds: float
    """How long the reading took: the error bound of the clock offset is half of it."""


CHUNK_BYTES: Final = 4_000_000
"""In the source, large values included: about a tenth of a second of reading. The source's vacuum
horizon is held no longer than that, and what a chunk costs by itself doesn't show."""


class Visibility(Protocol):
    """What one snapshot of the source sees. Immutable, so any thread may ask."""

    def sees(self, xid: int) -> bool:
        """Whether that transaction, numbered as in `Commit.xid`, was committed before it."""


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """The rows of a chunk as of one snapshot."""

    chunk: Chunk
    """What was read: it ends earlier than the chunk that was asked for where there is a `rest`."""
    rows: Sequence[Row]
    """`PartlyUnreadable` where a row holds `Unreadable` or `Special`."""
    seen: Visibility
    reached: Position
    """Once the stream has passed it, everything that the snapshot sees has been streamed."""
    rest: Chunk | None
    """What is left to read, where reading ended early because of the rows' size."""
    size_bytes: int
    """Of the rows as the source sent them."""


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Rows that were read by their keys, as of one snapshot: those that there are."""

    rows: Sequence[Row]
    """`PartlyUnreadable` where a row holds `Unreadable` or `Special`."""
    seen: Visibility
    reached: Position
    """As in `ChunkRows`."""


class ChunkReader(Protocol):
    """Reads chunks while the stream goes on. One worker thread owns it; its own connection."""

    def plan(self, relation: Relation) -> list[Chunk]:
        """Divide a table into chunks to be read, in that order; none where it is empty.

        The source must keep our place already: rows that come later are the stream's. Raises
        RetryError while the table is locked or away, SchemaChangedError where it isn't what it was
        any more, SourceError where it can't be read.
        """

    def check(self, relation: Relation, where: str) -> None:
        """Raise ConditionError, with the source's words, unless `where` can choose rows."""

    def read(self, relation: Relation, chunk: Chunk, where: str = "") -> ChunkRows:
        """The rows of the chunk, with the columns of `relation`, in a short transaction.

        Only those that meet `where`, a condition of the source's own language, if there is one.

        Raises RetryError (the connection was lost, the table is locked: read it again),
        RewrittenError (plan the table anew), SchemaChangedError (a column isn't what it was) or
        SourceError.
        """

    def read_keys(
        self, relation: Relation, columns: Sequence[str], keys: Sequence[tuple[str, ...]]
    ) -> FoundRows:
        """The rows whose `columns` have these values (the source's text), as `read` does."""

    def settle(self, joined: Relation | None = None) -> None:
        """Return once everything that was committed before is visible.

        And once everyone has ended who had written `joined`, a table that has come into the stream
        only now, before the first call. Raises RetryError until then.
        """

    def visibility(self) -> Visibility:
        """What a snapshot of this moment sees; reads no rows."""

    def close(self) -> None:
        """Release the connection. Safe to call twice."""


class Source(Protocol):
    """Where changes come from. One thread owns it, but for `wake`."""

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """Look tables up, with every column named; touches nothing.

        Raises SourceError for each missing table or column, with the nearest valid name.
        """

    def identity(self) -> str:
        """The history this source is in: positions of another one can't be compared.

        Raises RetryError where it can't be followed just now (a standby).
        """

    def shared_until(self, source_id: str) -> Position:
        """Up to where the history `source_id` is the source's own; NOWHERE if it isn't at all.

        Where it still is the source's: how far that has come. Raises RetryError if the source is
        an earlier part of that history, and has been left behind.
        """

    def prepare(self, relations: Sequence[Relation]) -> Mapping[str, str]:
        """Check that every relation can be followed, then make what following needs (publication).

        Returns, by qualified name, how each belongs to the stream: where that is another text than
        before, the stream may lack changes of it. Raises SourceError before anything is touched;
        the message has the SQL that mends it.
        """

    def memberships(self, relations: Sequence[Relation]) -> Mapping[str, str]:
        """What `prepare` would say of those that belong to the stream already; touches nothing."""

    def keeps_place(self, relations: Sequence[Relation]) -> bool:
        """Whether `prepare` would leave the place that is kept for us; touches nothing."""

    def held_by(self) -> str | None:
        """Who follows the source in our place, for people; None if nobody does.

        Touches nothing there; ends our own stream.
        """

    def place(self) -> Position | None:
        """The position confirmed to the source; None if it keeps no place for us (no slot)."""

    def create_place(self) -> Position:
        """Make the source keep a place for us from now on; everything before it is visible.

        An older place of ours is given up.
        """

    def chunk_reader(self, chunk_bytes: int = CHUNK_BYTES) -> ChunkReader:
        """A reader of chunks of about that size, with its own connection, for another thread."""

    def start(self, relations: Sequence[Relation], after: Position, *, whole: bool = False) -> None:
        """Begin the stream just after `after`; rows come with the columns of `relations`.

        `whole`: no transaction in parts before it ends, however large.

        Changes of a table that had, or has by now, another shape come under a relation of their own
        that `stands_for` the one that was given. Raises StartAgainError if the source doesn't keep
        that place for us any more.
        """

    def read(self, timeout_seconds: float) -> Sequence[Event]:
        """Return what has arrived, at most a few thousand events; empty after the timeout.

        Transactions come in the order of their commits, each one's changes before its `Commit` and
        after the one before; but a source may send a large one before it ends, in parts between
        others, each from `StreamStart` to `StreamStop`. What hasn't ended when the connection is
        lost comes again from its beginning.

        Answers the source's keepalives, so it must be called at least every few seconds.
        Raises RetryError when the connection is lost: `start` again.
        """

    def confirm(self, *, received: Position, durable: Position, searchable: Position) -> None:
        """Tell the source how far we are. What is durable here is forgotten there."""

    def give_up_place(self) -> None:
        """Make the source forget our place, so that it keeps nothing for us. Ends the stream.

        Everything is loaded anew at the next start. Raises RetryError if it can't be reached.
        """

    def show(self, position: Position) -> str:
        """The position as people know it (PostgreSQL: `16/B374D848`)."""

    def wake(self) -> None:
        """Make a `read` that waits return at once. Called from any thread."""

    def clock(self) -> SourceClock:
        """A clock of its own connection, for another thread."""

    def shape_reader(self) -> ShapeReader:
        """A reader of what tables look like, with its own connection, for another thread."""

    def coverage(self) -> Coverage:
        """What is visible now: loads that begin from here on leave none of it out."""

    def visibility(self, seen: str) -> Visibility:
        """What `Coverage.seen` says."""

    def close(self) -> None:
        """Release the connections; the source keeps our place. Safe to call twice."""


class ShapeReader(Protocol):
    """Reads what tables look like in the catalog. One thread owns it."""

    def read(self, tables: Sequence[str]) -> Mapping[str, Shape]:
        """The shape of each table that is there, by `Relation.qualified_name`; locks nothing.

        Raises RetryError when the source can't be reached.
        """

    def close(self) -> None:
        """Release the connection. Safe to call twice."""


class SourceClock(Protocol):
    """Reads the source's clock and position. One thread owns it."""

    def sample(self) -> ClockSample:
        """Read both at once. Raises RetryError when the source can't be reached."""

    def nudge(self) -> None:
        """Make the source write something, so that its last position can be reached while idle."""

    def slot_health(self) -> SlotHealth | None:
        """How much the source keeps for us; None if it keeps nothing.

        Raises RetentionLimitError where it is to be given up rather than kept any longer.
        """

    def close(self) -> None:
        """Release the connection. Safe to call twice."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check of `cdc-daemon check` found."""

    check: str
    """What was looked at, in few words: `wal_level`, `table public.hotel`."""
    level: Literal["ok", "warning", "problem"]
    """Problem: the daemon would stop at it, or do harm. Warning: it would run, until later."""
    message: str
    """One paragraph; of what isn't ok, with the SQL or the setting that mends it."""


Subject_contra = TypeVar("Subject_contra", contravariant=True)


@runtime_checkable
class Doctor(Protocol[Subject_contra]):
    """A source or sink that can tell beforehand what would fail. Not every one is a doctor.

    The subjects are the relations that are followed (source), the read models (sink).
    """

    def examine(self, subjects: Sequence[Subject_contra]) -> Iterator[Finding]:
        """Look at everything, touch nothing, and go on after a problem.

        Raises only what made it impossible to go on: RetryError, SourceError, SinkError.
        """


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

    def form(self, field: FieldSpec) -> Form:
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

    def writer(self) -> Writer:
        """A new connection for a sender thread."""

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

        `index` may be an alias. Without `routing` the id says the shard.
        """


class SourceFactory(Protocol):
    """What an entry point of `cdc_daemon.sources` names: how to build a source from its YAML."""

    config_model: type[BaseModel]
    """The pydantic model of the `source:` section."""

    def __call__(self, config: Any, *, pipeline: str) -> Source:
        """Build it; connects to nothing yet."""


class SinkFactory(Protocol):
    """What an entry point of `cdc_daemon.sinks` names: how to build a sink from its YAML."""

    config_model: type[BaseModel]
    """The pydantic model of the `sink:` section."""

    def __call__(self, config: Any, *, pipeline: str) -> Sink:
        """Build it; connects to nothing yet."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command that a connector brings gets to know of a configuration."""

    pipeline: str
    source: Any
    """An instance of the `config_model` of its connector; so is the sink."""
    sink: Any


class OpenConfiguration(Protocol):
    """The `obj` of the typer context that a connector's command is called with."""

    def __call__(self, file: Path) -> Opened:
        """Read the configuration. Raises ConfigurationError with every mistake."""
