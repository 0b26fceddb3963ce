"""One poll: all tables as of one snapshot, a piece at a time.

Nothing is held in memory but a piece: rows come by a cursor, and what is remembered of them is on
disk. The snapshot is held meanwhile, and the source's vacuum with it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon.errors import RejectedError, RetryError, SchemaChangedError
from cdc_daemon.events import Commit, Watermark
from connectors.polling.choosing import EVERY_ROW, highest, rows, written_since
from connectors.polling.differences import Differences, Given, read_lines
from connectors.polling.kept import Bound, Poll
from connectors.polling.seen import Seen
from connectors.postgres.visibility import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cdc_daemon.events import Change, Event, Position
    from connectors.polling.beside import Beside
    from connectors.polling.kept import Known
    from connectors.polling.memory import Memory
    from connectors.polling.session import Session
    from connectors.polling.tables import Table


class Read(NamedTuple):
    """A table that a poll has read."""

    differences: Differences
    whole: bool
    """Whether all of it was compared: what the poll hasn't met is gone."""
    forgets: bool
    """Whether only what was read last is remembered of it."""


@dataclass(slots=True)
class Count:
    """What a poll has come to."""

    rows_read: int = 0
    rows_changed: int = 0


class UnderWay:
    """A poll that goes on."""

    def __init__(  # noqa: PLR0913 - what a poll is made of
        self,
        session: Session,
        memory: Memory,
        tables: Sequence[Table],
        last: Poll,
        source_id: str,
        *,
        began: Callable[[str], int],
        beside: Beside,
    ) -> None:
        """`last`: the poll before. `began` is told the snapshot, and gives the poll its number."""
        self._session = session
        self._memory = memory
        self._tables = tables
        self._last = last
        self._source_id = source_id
        self._began = began
        self._beside = beside
        self._seen = Seen()
        self._read: dict[int, Read] = {}
        """By the table's number in the memory."""
        self._bounds: dict[str, Bound] = {}
        self.count = Count()
        self.poll = last
        """This one, once it is over."""

    def pieces(self, position: Position, source_time: float) -> Iterator[Sequence[Event]]:
        """Its events; all of it is remembered on disk before the last one is given."""
        self._memory.begin()
        self._beside.begin()
        files = self._files()
        with self._session.snapshot() as seen:
            number = self._began(seen)
            gives_same = self._beside.may_have_read()
            for table in self._tables:
                yield from self._changes(table, seen, gives_same=gives_same)
        ending = [number for number, read in self._read.items() if read.whole or read.forgets]
        for known in self._memory.unseen(ending, self._seen):
            yield self._end_of(known)
        end = self._session.log_on_disk()
        if self._files() != files:
            raise _rewritten()
        self.poll = Poll(position, self._source_id, end, source_time, self._bounds)
        self._memory.end(self.poll)
        if self.count.rows_changed:
            yield [Commit(position, self._last.time, number)]
        else:
            yield [Watermark(position)]

    def _files(self) -> list[str | None]:
        return [self._session.files(table.relation) for table in self._tables]

    def _changes(self, table: Table, seen: str, *, gives_same: bool) -> Iterator[Sequence[Change]]:
        """Those of one table, but for rows that are gone; `gives_same`: all that was written."""
        before, now = self._last.bounds[table.name], time.time()
        whole = table.is_compared(before, now)
        fills = whole and not before.is_filled
        given = Given.NEW if fills else Given.NEW_OR_OTHER if gives_same else Given.OTHER
        differences = Differences(table.relation, self._memory, self._seen, given)
        self._read[differences.table] = Read(differences, whole, not table.config.compares)
        self._bounds[table.name] = Bound(
            seen,
            table.rising and self._session.value(highest(table.relation, table.rising)),
            is_filled=whole or before.is_filled,
            compared=now if whole else before.compared,
        )
        snapshot = read_snapshot(seen)
        statement = rows(
            table.relation,
            EVERY_ROW if whole else table.since(before, snapshot, gives_same=gives_same),
            gone=table.config.deleted or "",
            new="" if given is Given.OTHER else written_since(read_snapshot(before.seen), snapshot),
        )
        for lines in self._session.copy(statement, table.name):
            self.count.rows_read += len(lines)
            with of_its_types(table.name):
                yield self._counted(differences.of(read_lines(lines))) if lines else []

    def _end_of(self, known: Sequence[Known]) -> Sequence[Change]:
        """What the poll hasn't met is forgotten; where all was compared it is gone."""
        self._memory.remove(known)
        changes: list[Change] = []
        for number, some in groupby(sorted(known, key=_table), key=_table):
            read = self._read[number]
            if read.whole:
                changes += read.differences.gone(some)
        return self._counted(changes)

    def _counted(self, changes: Sequence[Change]) -> Sequence[Change]:
        self.count.rows_changed += len(changes)
        return changes


@contextmanager
def of_its_types(table: str) -> Iterator[None]:
    """A type may be altered under its name (alter type)."""
    try:
        yield
    except RejectedError as error:
        why = f"a value isn't of its type: {error.explanation}"
        raise SchemaChangedError(table, why) from error


def _rewritten() -> RetryError:
    """A snapshot that is older than a table's file reads it as empty."""
    return RetryError(
        "a table was rewritten, truncated or made anew while it was polled (ALTER TABLE, TRUNCATE, "
        "VACUUM FULL): all are polled once more",
        reason="rewritten",
    )


def _table(known: Known) -> int:
    return known.table
