"""The source: it is described, followed, confirmed, and asked for its clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cdc_daemon.ports.chunks import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pydantic import BaseModel

    from cdc_daemon.events import (
        Coverage,
        Event,
        Position,
        Relation,
        Shape,
    )
    from cdc_daemon.ports.chunks import ChunkReader, Visibility


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

    def start(
        self,
        relations: Sequence[Relation],
        after: Position,
        *,
        whole: bool = False,
        silence_seconds: float | None = None,
    ) -> None:
        """Begin the stream just after `after`; rows come with the columns of `relations`.

        `whole`: no transaction in parts before it ends, however large. `silence_seconds`: the
        source gives us up when it hears nothing of us for so long; None: as it likes.

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

    def starting(self) -> AbstractContextManager[None]:
        """While this lasts commits that wait for us don't keep us waiting: they are let go."""

    def let_commit_go(self, xid: int) -> None:
        """Have the COMMIT of that transaction of the stream return, if it waits for us.

        What it did is visible to nobody before. Raises RetryError until it has returned.
        """

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

    def token_reader(self) -> TokenReader:
        """What reads the tokens of clients, as of the history that the source is in now.

        Raises RetryError when it can't be reached.
        """

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


@runtime_checkable
class ReadsMemberships(Protocol):
    """A `ShapeReader` of a source that somebody may take a table out of while it is followed."""

    def memberships(self, relations: Sequence[Relation]) -> Mapping[str, str]:
        """How each belongs to the stream, as `Source.prepare` says it; those are left out that
        aren't there. Locks nothing.

        Raises RetryError when the source can't be reached.
        """  # noqa: D205 - one sentence


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether commits of the source wait until we confirm them (strong consistency)."""

    named: bool = False
    """They are to, whenever we follow the source."""
    synchronous: bool = False
    """They do, now."""


class SourceClock(Protocol):
    """Reads the source's clock and position. One thread owns it."""

    def sample(self) -> ClockSample:
        """Read both at once. Raises RetryError when the source can't be reached."""

    def nudge(self) -> None:
        """Make the source write something, so that its last position can be reached while idle."""

    def reach(self, position: Position) -> Position:
        """Have the stream come to `position`, though the source be idle; where its log ends.

        Raises RetryError when it can't be reached.
        """

    def slot_health(self) -> SlotHealth | None:
        """How much the source keeps for us; None if it keeps nothing.

        Raises RetentionLimitError where it is to be given up rather than kept any longer.
        """

    def standing(self) -> Standing:
        """Whether commits wait for us. Raises RetryError when the source can't be reached."""

    def close(self) -> None:
        """Release the connection. Safe to call twice."""


class TokenReader(Protocol):
    """Reads what clients bring to wait for their commits. Immutable, so any thread may call it."""

    @property
    def epoch(self) -> str:
        """The history that positions are of, as `Source.identity` has it."""

    def read(self, token: str) -> Position:
        """Once the stream is here, everything has come that was committed before it was taken.

        Raises TokenError where it is none, ForeignTokenError where it is of another history.
        """


@runtime_checkable
class KeepsFiles(Protocol):
    """A source that must find something on this machine at the next start. Not every one does."""

    def keep_in(self, folder: Path) -> None:
        """Where it may keep its files (`state.path`); said before anything else is asked of it."""


@dataclass(frozen=True, slots=True)
class PollReport:
    """What the polls of a source that reads tables again and again have come to."""

    polls: int = 0
    missed: int = 0
    """Polls that didn't begin, because another one went on."""
    rows_read: int = 0
    rows_changed: int = 0
    """Changes given, of all the rows that were read."""
    started_at: float | None = None
    """When the last one began, in seconds since the epoch."""
    seconds: float = 0.0
    """How long the last one that is over took."""
    next_at: float | None = None
    """When the next one begins by the schedule."""


@runtime_checkable
class Polling(Protocol):
    """A source that reads tables again and again. Not every one does."""

    def poll_report(self) -> PollReport:
        """What polls have come to. Any thread may ask."""


class SourceFactory(Protocol):
    """What an entry point of `cdc_daemon.sources` names: how to build a source from its YAML."""

    config_model: type[BaseModel]
    """The pydantic model of the `source:` section."""

    def __call__(self, config: Any, *, pipeline: str) -> Source:
        """Build it; connects to nothing yet."""
