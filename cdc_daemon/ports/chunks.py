"""Existing rows of a source: read in chunks, each in a snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import (
        Chunk,
        Position,
        Relation,
        Row,
    )

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
        self,
        relation: Relation,
        columns: Sequence[str],
        keys: Sequence[tuple[str, ...]],
        where: str = "",
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
