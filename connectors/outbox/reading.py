"""One read after the other: each is a snapshot, and what it sees that the one before didn't."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from psycopg import sql

from cdc_daemon.errors import StartAgainError
from cdc_daemon.events import NOWHERE, Commit, Event, Position, Watermark
from connectors.outbox.journal import Entry
from connectors.outbox.noted import Noted, NotedChanges, Selection, misfit
from connectors.postgres.claiming import IS_QUIET, TOKEN_BYTES, position_of_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cdc_daemon.events import Relation
    from connectors.outbox.journal import Journal
    from connectors.postgres.puredriver import PureConnection
    from connectors.postgres.reads import Reads
    from connectors.postgres.walpages import WalPages

log = structlog.get_logger(__name__)

_END: Final = """
select (pg_current_wal_insert_lsn() - '0/0')::int8, (pg_current_wal_flush_lsn() - '0/0')::int8
"""
BEGIN: Final = "begin isolation level repeatable read; select pg_current_snapshot()::text"
"""Takes the snapshot of the transaction."""
_NUDGE: Final = "select pg_logical_emit_message(true, 'cdc-daemon', 'read')"


class End(NamedTuple):
    """Where the log ended, before a snapshot was taken."""

    inserted: Position
    flushed: Position
    quiet: bool

    @property
    def watermark(self) -> Position:
        """What may be claimed of it: no more than would outlive a crash of the server."""
        claimed = self.inserted if self.quiet else self.inserted - TOKEN_BYTES
        return Position(min(claimed, self.flushed))


def look_at_end(session: PureConnection, pages: WalPages, before: Position = NOWHERE) -> End:
    """The order of looking counts: the end, whether it is quiet, and then the snapshot.

    Where the log has grown since it ended at `before` nobody looks whether it is quiet, which takes
    locks that others need: the next read will claim the rest.
    """
    [(insert, flush)] = session.rows(_END, "read where the server's log ends")
    inserted, flushed = (pages.last_end(int(each or 0)) for each in (insert, flush))
    if inserted != before:
        return End(inserted, flushed, quiet=False)
    [(quiet,)] = session.rows(IS_QUIET, "look who writes")
    return End(inserted, flushed, quiet == "t")


class Tables(NamedTuple):
    """The tables that are followed, by how the outbox names them."""

    by_oid: Mapping[int, Noted]
    by_name: Mapping[str, Noted]
    changed: Callable[[], Mapping[Relation, str]]
    """Those that aren't what they were when the stream began, and why, as of now."""


class Reading:
    """The reads of one session. The reader owns it."""

    def __init__(
        self,
        session: PureConnection,
        schema: str,
        journal: Journal,
        reads: Reads,
        pages: WalPages,
    ) -> None:
        self._session = session
        self._outbox = sql.Identifier(schema, "change").as_string()
        self._journal = journal
        self._reads = reads
        self._pages = pages
        self._tables = Tables({}, {}, dict)
        self._before = Entry(Position(0), "1:1:")
        self._replayed: deque[Entry] = deque()
        """Reads that were made before, and come again."""
        self._said = Position(0)
        """The highest position that was given out."""
        self._last_end = NOWHERE
        """Of the log, at the last read."""
        self._is_idle = False
        """Whether that read has claimed all of it, and found nothing."""
        self._unknown: set[str] = set()

    def begin(self, entries: Sequence[Entry], after: Position, tables: Tables) -> None:
        """What comes next is what comes after that position.

        Raises StartAgainError where the journal keeps no read from before it.
        """
        earlier = [entry for entry in entries if entry.position <= after]
        if not earlier:
            raise StartAgainError(f"the outbox {self._outbox} keeps nothing of that position")
        self._tables = tables
        self._before = earlier[-1]
        self._replayed.extend(entries[len(earlier) :])
        self._said = after

    def read(self) -> Iterator[list[Event]]:
        """One read, a piece at a time; nothing where there is nothing new to say."""
        if self._replayed:
            return self._read_again(self._replayed.popleft())
        return self._read_on()

    def _read_on(self) -> Iterator[list[Event]]:
        before = NOWHERE if self._is_idle else self._last_end
        end = look_at_end(self._session, self._pages, before)
        if self._is_idle and end.inserted == self._last_end:
            return
        self._last_end, self._is_idle = end.inserted, False
        [(seen,)] = self._session.rows(BEGIN, "read the outbox")
        position = position_of_read(self._said, end.inserted, quiet=end.quiet)
        entry = Entry(Position(0) if position is None else position, seen or "")
        where = self._before.unseen_until(entry)
        found = self._summary(where)
        if not found:
            self._session.rows("rollback")
            self._before = self._before._replace(seen=entry.seen)
            self._is_idle = end.quiet and end.inserted <= end.flushed
            yield from self._watermark(end.watermark)
        elif position is None:  # the log has stood still for several reads
            self._session.rows(f"rollback; {_NUDGE}", "write to the server's log")
        else:
            yield from self._changes(found, where)
            self._session.rows(
                f"{self._journal.insert(entry)}; commit", "note the read in the journal"
            )
            yield self._ended(entry, found)

    def _read_again(self, entry: Entry) -> Iterator[list[Event]]:
        unseen = self._before.unseen_until(entry)
        where = f"{unseen} and pg_visible_in_snapshot(c.xid, '{entry.seen}')"
        self._session.rows(BEGIN, "read the outbox")
        found = self._summary(where)
        yield from self._changes(found, where)
        self._session.rows("rollback")
        yield self._ended(entry, found)

    def _watermark(self, position: Position) -> Iterator[list[Event]]:
        if position > self._said:
            self._said = position
            yield [Watermark(position)]

    def _ended(self, entry: Entry, found: Mapping[Noted, float]) -> list[Event]:
        self._before = entry
        self._said = entry.position
        events: list[Event] = [
            misfit(relation, why)
            for relation, why in self._tables.changed().items()
            if any(noted.relation is relation for noted in found)
        ]
        number = self._reads.add(entry.snapshot)
        return [*events, Commit(entry.position, min(found.values(), default=0.0), number)]

    def _summary(self, where: str) -> dict[Noted, float]:
        """The tables of which there is something, and when the first of it was written."""
        lines = self._session.rows(
            f'select c.relation, c."table", count(*), extract(epoch from min(c.at)) from '  # noqa: S608 - quoted
            f"{self._outbox} c where {where} group by 1, 2",
            "read the outbox",
        )
        found: dict[Noted, float] = {}
        for oid, name, count, time in lines:
            noted = (
                self._tables.by_oid.get(int(oid)) if oid else self._tables.by_name.get(name or "")
            )
            if noted is None:
                self._warn_of(name or f"number {oid}", int(count or 0))
            else:
                found[noted] = min(found.get(noted, float("inf")), float(time or 0))
        return found

    def _warn_of(self, table: str, changes: int) -> None:
        if table not in self._unknown:
            self._unknown.add(table)
            log.warning("outbox_table_unknown", table=table, changes=changes)

    def _changes(self, found: Mapping[Noted, float], where: str) -> Iterator[list[Event]]:
        for noted in found:
            selection = Selection(self._outbox, where)
            for page in NotedChanges(self._session, noted, selection).pages():
                yield list[Event](page)
