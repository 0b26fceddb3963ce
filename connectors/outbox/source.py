"""An outbox in a PostgreSQL database as a `Source`."""

from __future__ import annotations

import os
import time
import weakref
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import (
    RetryError,
    SlotInUseError,
    SourceError,
)
from cdc_daemon.events import NOWHERE, Position
from cdc_daemon.ports import CHUNK_BYTES
from connectors.outbox.cleaning import empty_parts
from connectors.outbox.clock import OutboxClock
from connectors.outbox.config import OutboxConfig
from connectors.outbox.doctor import examine
from connectors.outbox.followed import Followed
from connectors.outbox.installing import (
    Installed,
    find_installed,
    key_reasons,
    lacking,
    memberships,
    owner_reasons,
    type_reasons,
)
from connectors.outbox.journal import Entry, Journal
from connectors.outbox.noting import require_known, who_notes
from connectors.outbox.reading import BEGIN, Reading, look_at_end
from connectors.outbox.rights import rights_reasons
from connectors.postgres.claiming import position_of_read
from connectors.postgres.database import Database, of_whole_rows, take_lock
from connectors.postgres.lsn import format_lsn
from connectors.postgres.reads import Reads
from connectors.postgres.standbynames import daemon_name
from connectors.postgres.timelines import read_timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from cdc_daemon.events import Coverage, Event, Relation
    from cdc_daemon.ports import ChunkReader, Finding, ShapeReader, TableRequest, TokenReader
    from connectors.postgres.puredriver import PureConnection
    from connectors.postgres.reads import ReadVisibility
    from connectors.postgres.visibility import SnapshotVisibility

log = structlog.get_logger(__name__)

CLEAN_SECONDS: Final = 2.0
"""How often what was confirmed is cleaned away: a part fills in seconds at the highest rates."""
_POLL_SECONDS: Final = 0.2


class OutboxSource:
    """Follows one outbox. One thread owns it, but for `wake`."""

    config_model = OutboxConfig

    def __init__(self, config: OutboxConfig, *, pipeline: str) -> None:
        self._config = config
        self._schema = config.in_schema
        self._pipeline = pipeline
        self._lock = config.lock
        self._database = Database(
            config.dsn.get_secret_value(), daemon_name(pipeline), config.columns
        )
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wake_fd)  # not in `close`: others may still wake us
        self._journal = Journal(config.in_schema)
        self._reads = Reads()
        self._first: SnapshotVisibility | None = None
        """What a new place leaves out: it was committed before."""
        self._session: PureConnection | None = None
        self._reading: Reading | None = None
        self._pieces: Iterator[list[Event]] = iter(())
        """Of the read that isn't over."""
        self._followed: Followed | None = None
        self._shared: dict[int, Position] = {}
        """Up to where earlier timelines are shared at least, as far as we have followed on."""
        self._shared_on = 0
        """The timeline on which that was asked last."""
        self._durable = NOWHERE
        self._cleaned_at = 0.0
        self._cleaned = NOWHERE

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """Look tables up in the catalog; what the rules of `columns` protect comes protected."""
        return of_whole_rows(self._database.describe(tables))

    def identity(self) -> str:
        """System identifier and timeline."""
        return str(self._database.identity())

    def shared_until(self, source_id: str) -> Position:
        """How far the log is; after a failover, the last read that this server knows of."""
        here, other = self._database.identity(), read_timeline(source_id)
        if here.system == other.system and here.number > other.number:
            last = max((entry.position for entry in self._entries()), default=NOWHERE)
            if here.number != self._shared_on:  # it may be a sibling that goes on from before
                self._shared_on = here.number
                self._shared = {n: min(until, last) for n, until in self._shared.items()}
            # The first answer: later on the journal has what was read in this timeline, too.
            return self._shared.setdefault(other.number, last)
        return self._database.shared_until(source_id)

    def prepare(self, relations: Sequence[Relation]) -> dict[str, str]:
        """Check server, tables, rights and triggers; makes nothing: `outbox install` does."""
        self._end_stream()
        require_known(self._config, relations)
        candidates, reasons = self._database.candidates(relations)
        for candidate in candidates:
            reasons.extend(self._database.reading_reasons(candidate))
            reasons.extend(key_reasons(candidate))
            reasons.extend(type_reasons(self._database.queries(), candidate))
        reasons.extend(self._database.server_reasons())
        if reasons:
            raise SourceError("\n".join(reasons))
        installed = self._installed()
        installed.require_ours()
        noting = who_notes(self._config, candidates)
        oids = [candidate.table.oid for candidate in noting.by_triggers]
        queries = self._database.queries()
        if wrong := [
            *owner_reasons(queries, installed, oids),
            *rights_reasons(queries, installed),
        ]:
            raise SourceError("\n".join(wrong))
        if missing := list(lacking(installed, noting)):
            raise SourceError(
                f"the outbox doesn't get all changes: {'; '.join(missing)}. Run: cdc-daemon outbox "
                "install (with --sql it prints the statements, for somebody else to run)"
            )
        self._database.warn_of_unknown_types(relations)
        return memberships(installed, noting)

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """By the triggers that are there, and what is left to applications."""
        candidates, _ = self._database.candidates(relations)
        return memberships(self._installed(), who_notes(self._config, candidates))

    def keeps_place(self, relations: Sequence[Relation]) -> bool:  # noqa: ARG002 - whichever they are
        """Always: tables come and go one by one."""
        return True

    def examine(self, subjects: Sequence[Relation]) -> Iterator[Finding]:
        """Look at everything that could keep the relations from being followed."""
        return examine(self._database, self._config, self._pipeline, subjects)

    def held_by(self) -> str | None:
        """The server's process that reads the outbox. It isn't ours: the stream is ended."""
        self._end_stream()
        return self._database.held_by(self._lock)

    def place(self) -> Position | None:
        """The first read that the journal keeps."""
        return min((entry.position for entry in self._entries()), default=None)

    def create_place(self) -> Position:
        """Begin the journal anew. The triggers are there: whoever wrote before has committed."""
        self._end_stream()
        session = self._connect()
        try:
            end = look_at_end(session, self._database.wal_pages())
            [(seen,)] = session.rows(f"{BEGIN}; rollback", "take a snapshot")
            position = position_of_read(NOWHERE, end.inserted, quiet=end.quiet)
            entry = Entry(Position(position or end.inserted), seen or "")
            self._journal.begin_anew(session, entry)
        finally:
            session.close()
        self._first = entry.snapshot
        return entry.position

    def chunk_reader(self, chunk_bytes: int = CHUNK_BYTES) -> ChunkReader:
        """Reads them, for another thread."""
        return self._database.chunk_reader(self._reads, self._first, chunk_bytes)

    def start(
        self,
        relations: Sequence[Relation],
        after: Position,
        *,
        whole: bool = False,  # noqa: ARG002 - a read is given whole anyway
        silence_seconds: float | None = None,  # noqa: ARG002 - nothing waits for us
    ) -> None:
        """Read on from the last read at or before `after`."""
        self._end_stream()
        session = self._session = self._connect()
        try:
            reading = Reading(
                *(session, self._schema, self._journal, self._reads, self._database.wal_pages())
            )
            entries = self._journal.entries(session)
            followed = Followed(self._database, self._installed, relations)
            reading.begin(entries, after, followed.tables())
            session.rows(f'listen "{self._schema}"')
            followed.begin()
        except BaseException:
            self._end_stream()
            raise
        self._first = None  # readers that are made from now on are for what comes later
        self._reading, self._followed = reading, followed
        self._cleaned = NOWHERE

    def read(self, timeout_seconds: float) -> list[Event]:
        """A piece of the read that isn't over, or of the next one."""
        if (piece := next(self._pieces, None)) is not None:
            return piece
        session, reading, followed = self._streaming()
        followed.require_unaltered()
        self._clean(session)
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._pieces = reading.read()
            if (piece := next(self._pieces, None)) is not None:
                return piece
            left = deadline - time.monotonic()
            if left <= 0 or self._was_woken():
                return []
            session.wait(self._wake_fd, min(left, self._config.poll_interval))
            session.take_notifications()

    def confirm(self, *, received: Position, durable: Position, searchable: Position) -> None:  # noqa: ARG002 - the outbox keeps what isn't durable, and nobody waits for more
        """What is durable is cleaned away between two reads."""
        self._streaming()
        self._durable = durable

    def starting(self) -> AbstractContextManager[None]:
        """No commit waits for us."""
        return nullcontext()

    def let_commit_go(self, xid: int) -> None:
        """None waits."""

    def give_up_place(self) -> None:
        """Empty the journal. The triggers stay: `cdc-daemon outbox remove` takes them away."""
        self._end_stream()
        if not self._entries():
            return
        session = self._connect()
        try:
            self._journal.give_up(session)
        finally:
            session.close()

    def show(self, position: Position) -> str:
        """The position as PostgreSQL writes an LSN."""
        return format_lsn(position)

    def wake(self) -> None:
        """Make a waiting `read` return."""
        os.eventfd_write(self._wake_fd, 1)

    def clock(self) -> OutboxClock:
        """The server's clock, for another thread."""
        return OutboxClock(
            self._database.dsn,
            self._database.name,
            schema=self._schema,
            lock=self._lock,
            bounds=self._config.kept.bounds(),
        )

    def token_reader(self) -> TokenReader:
        """Knows the server's timeline, and of those before it what the journal did."""
        return self._database.token_reader(self._shared)

    def shape_reader(self) -> ShapeReader:
        """Reads what tables look like, for another thread."""
        return self._database.shape_reader()

    def coverage(self) -> Coverage:
        """What is visible now."""
        return self._database.coverage()

    def visibility(self, seen: str) -> ReadVisibility:
        """What a snapshot sees of our reads."""
        return self._database.visibility(seen, self._reads)

    def close(self) -> None:
        """Close the connections; the journal stays. Safe to call twice."""
        self._end_stream()
        self._database.close()

    def _installed(self) -> Installed:
        """What is there, as of now."""
        return find_installed(self._database.queries(), self._schema, self._pipeline)

    def _entries(self) -> list[Entry]:
        """Those of the journal, if there is one."""
        installed = self._installed()
        if not installed.is_there:
            return []
        session = self._session or self._database.session()
        try:
            return self._journal.entries(session)
        finally:
            if session is not self._session:
                session.close()

    def _connect(self) -> PureConnection:
        """A session of which there is one: it holds the lock."""
        deadline = time.monotonic() + self._config.reader_wait
        session = self._database.session()
        while True:
            try:
                take_lock(session, self._database, self._lock)
            except SlotInUseError as error:
                if time.monotonic() > deadline:
                    session.close()
                    raise
                log.warning("waiting_for_reader", why=str(error))
                time.sleep(_POLL_SECONDS)
            except BaseException:
                session.close()
                raise
            else:
                return session

    def _was_woken(self) -> bool:
        try:
            os.eventfd_read(self._wake_fd)
        except BlockingIOError:
            return False
        return True

    def _clean(self, session: PureConnection) -> None:
        now = time.monotonic()
        if self._durable <= self._cleaned or now - self._cleaned_at < CLEAN_SECONDS:
            return
        self._cleaned_at, durable = now, self._durable
        confirmed = self._journal.forget_before(session, durable)
        if confirmed is None or empty_parts(session, self._schema, confirmed):
            self._cleaned = durable

    def _streaming(self) -> tuple[PureConnection, Reading, Followed]:
        if self._session is None or self._reading is None or self._followed is None:
            raise RetryError("the stream has not been started", reason="disconnected")
        return self._session, self._reading, self._followed

    def _end_stream(self) -> None:
        self._pieces = iter(())
        self._reading = self._followed = None
        if self._session is not None:
            self._session.close()
            self._session = None
