"""A PostgreSQL database as a `Source` that is read again and again, with no more than SELECT."""

from __future__ import annotations

import os
import time
import weakref
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import SlotInUseError, SourceError, StartAgainError
from cdc_daemon.events import NOWHERE, Coverage, Position
from cdc_daemon.ports import CHUNK_BYTES
from connectors.polling.catalog import fitted, require_known
from connectors.polling.choosing import highest
from connectors.polling.chunks import PollingChunkReader
from connectors.polling.clock import PollingClock
from connectors.polling.config import PollingConfig
from connectors.polling.kept import Bound, Poll
from connectors.polling.memory import Memory
from connectors.polling.polls import Followed, Polls
from connectors.polling.preflight import examine, require_readable, warn_of_unseen
from connectors.polling.session import Session
from connectors.postgres.claiming import position_of_read
from connectors.postgres.database import Database, of_whole_rows
from connectors.postgres.lsn import format_lsn
from connectors.postgres.standbynames import daemon_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cdc_daemon.events import Event, Relation
    from cdc_daemon.ports import (
        Finding,
        PollReport,
        ShapeReader,
        TableRequest,
        TokenReader,
        Visibility,
    )
    from connectors.polling.tables import Table

LOOK_SECONDS: Final = 0.5
"""How often it is looked whether another daemon has let go."""
NOT_KEPT: Final = "polls need a folder to keep what they have read"


class PollingSource:
    """Polls one database. One thread owns it, but for `wake`."""

    config_model = PollingConfig

    def __init__(self, config: PollingConfig, *, pipeline: str) -> None:
        self._config = config
        self._pipeline = pipeline
        self._database = Database(
            config.dsn.get_secret_value(), daemon_name(pipeline), config.columns
        )
        self._lock = f"cdc-daemon polls for {pipeline}"
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wake_fd)  # not in `close`: others may still wake us
        self._polls = Polls(config, self._wake_fd)
        self._kept: Memory | None = None
        self._session: Session | None = None
        self._relations: Sequence[Relation] = ()
        self._polls_here = False
        """Whether `prepare` was asked: who only looks leaves alone what a daemon's polls keep."""

    def keep_in(self, folder: Path) -> None:
        """What polls have read is kept there."""
        self._kept = Memory(folder / "polling" / f"{self._pipeline}.sqlite")

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """Look tables up in the catalog; rows are told apart by their primary key."""
        relations = [_by_primary_key(one) for one in of_whole_rows(self._database.describe(tables))]
        fitted(self._asking(), self._config, relations)
        return relations

    def identity(self) -> str:
        """System identifier and timeline."""
        return str(self._database.identity())

    def shared_until(self, source_id: str) -> Position:
        """As far as what plain SQL says of the history goes."""
        return self._database.shared_until(source_id)

    def prepare(self, relations: Sequence[Relation]) -> dict[str, str]:
        """Check tables and rights; our turn must have come. Returns how each table is polled."""
        self._end_stream()
        session = self._turn()
        require_known(self._config, relations)
        require_readable(session, relations)
        tables = fitted(session, self._config, relations)
        warn_of_unseen(tables)
        self._relations = relations
        self._polls_here = True
        return {table.name: table.membership for table in tables}

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """How each table is polled."""
        tables = fitted(self._asking(), self._config, relations)
        return {table.name: table.membership for table in tables}

    def keeps_place(self, relations: Sequence[Relation]) -> bool:  # noqa: ARG002 - of the port
        """What is kept is of each table: others make no difference to it."""
        return True

    def examine(self, subjects: Sequence[Relation]) -> Iterator[Finding]:
        """Look at everything that could keep the relations from being polled."""
        with closing(self._connected()) as session:
            yield from examine(session, self._config, subjects)

    def held_by(self) -> str | None:
        """The server's process that polls for the pipeline. Ours doesn't: it is ended."""
        self._end_session()
        return self._database.held_by(self._lock)

    def place(self) -> Position | None:
        """Where the first of the polls is that can be gone on from."""
        return next((poll.position for poll in self._usable()), None)

    def create_place(self) -> Position:
        """What is visible now is left to chunks; polls bring what comes later."""
        self._end_stream()
        session = self._turn()
        look = session.look()
        position = position_of_read(NOWHERE, look.end, quiet=look.quiet)
        assert position is not None  # noqa: S101 - the log has an end above 0
        tables = fitted(session, self._config, self._relations)
        bounds = _bounds(session, tables)
        first = Poll(position, self.identity(), session.log_on_disk(), look.time, bounds)
        self._memory.begin_anew(first)
        return position

    def chunk_reader(self, chunk_bytes: int = CHUNK_BYTES) -> PollingChunkReader:
        """Reads them, for another thread."""
        reader = self._database.chunk_reader(self._polls.reads, None, chunk_bytes)
        memory = self._memory if self._polls_here else None
        polls = self._polls
        return PollingChunkReader(reader, self._config, memory, polls.begun, polls.beside)

    def start(
        self,
        relations: Sequence[Relation],
        after: Position,
        *,
        whole: bool = False,  # noqa: ARG002 - a poll always is
        silence_seconds: float | None = None,  # noqa: ARG002 - nobody waits for us
    ) -> None:
        """Poll for what came after the last poll up to there."""
        self._end_stream()
        session = self._turn()
        usable = [poll for poll in self._usable() if poll.position <= after]
        if not usable:
            self._memory.forget()
            raise StartAgainError(
                "what polls have read is not known from where the checkpoint is: everything is "
                "loaded anew"
            )
        last = usable[-1]
        self._memory.go_on(last)
        tables = fitted(session, self._config, relations)
        new = _bounds(session, [table for table in tables if table.name not in last.bounds])
        last = replace(
            last, bounds={table.name: (last.bounds | new)[table.name] for table in tables}
        )
        self._memory.follow(last.bounds)
        self._polls.start(Followed(session, self._memory, tables, self.identity()), last)

    def read(self, timeout_seconds: float) -> Sequence[Event]:
        """The events of polls."""
        try:
            return self._polls.read(timeout_seconds)
        except BaseException:
            self._end_session()
            raise

    def confirm(self, *, received: Position, durable: Position, searchable: Position) -> None:  # noqa: ARG002 - of the port
        """What is durable needn't be remembered as given."""
        self._polls.settle(durable)

    def starting(self) -> AbstractContextManager[None]:
        """No commit waits for us."""
        return nullcontext()

    def let_commit_go(self, xid: int) -> None:
        """No commit waits for us."""

    def give_up_place(self) -> None:
        """Forget what polls have read."""
        self._end_stream()
        self._memory.forget()

    def show(self, position: Position) -> str:
        """The position as PostgreSQL writes an LSN."""
        return format_lsn(position)

    def wake(self) -> None:
        """Make a waiting `read` return."""
        os.eventfd_write(self._wake_fd, 1)

    def clock(self) -> PollingClock:
        """The server's clock, for another thread."""
        return PollingClock(self._database.clock(), self._want)

    def token_reader(self) -> TokenReader:
        """Knows the server's timeline."""
        return self._database.token_reader()

    def shape_reader(self) -> ShapeReader:
        """Reads what tables look like, for another thread."""
        return self._database.shape_reader()

    def coverage(self) -> Coverage:
        """What is visible now. The positions are those of polls: rows don't wait for the log."""
        session = self._turn()
        floor = Position(self._memory.reached + 1)
        seen = session.visible()
        return Coverage(seen, floor, max(floor, session.log_end()))

    def visibility(self, seen: str) -> Visibility:
        """Which polls a snapshot sees, as the server writes it."""
        return self._database.visibility(seen, self._polls.reads)

    def poll_report(self) -> PollReport:
        """What polls have come to. Any thread may ask."""
        return self._polls.report

    def close(self) -> None:
        """Close connections and file. Safe to call twice."""
        self._end_session()
        self._database.close()
        if self._kept is not None:
            self._kept.close()

    @property
    def _memory(self) -> Memory:
        if self._kept is None:
            raise SourceError(NOT_KEPT)
        return self._kept

    def _usable(self) -> Iterator[Poll]:
        """The polls whose snapshots mean the same in the history that the source is in now."""
        for poll in [] if self._kept is None else self._kept.polls():
            if self.shared_until(poll.source_id) >= poll.log_end:
                yield poll

    def _want(self, position: Position) -> None:
        self._polls.want(position)
        self.wake()

    def _connected(self) -> Session:
        return Session(self._database, self._config.statement_timeout)

    def _asking(self) -> Session:
        """A session that is amid nothing."""
        if self._session is None or self._session.broken:
            self._end_session()
            self._session = self._connected()
        return self._session

    def _turn(self) -> Session:
        """The session that polls, once nobody else does."""
        deadline = time.monotonic() + self._config.lock_wait
        while True:
            session = self._asking()
            try:
                session.take_turn(self._lock)
            except SlotInUseError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_SECONDS)
            else:
                return session

    def _end_stream(self) -> None:
        """Amid a poll the session can't be used for anything else."""
        if self._polls.stop() or (self._session is not None and self._session.broken):
            self._end_session()

    def _end_session(self) -> None:
        self._polls.stop()
        if self._session is not None:
            self._session.close()
            self._session = None


def _bounds(session: Session, tables: Sequence[Table]) -> dict[str, Bound]:
    """Up to where tables have been read by who sees what is visible now."""
    if not tables:
        return {}
    with session.snapshot() as seen:
        return {
            table.name: Bound(
                seen, table.rising and session.value(highest(table.relation, table.rising))
            )
            for table in tables
        }


def _by_primary_key(relation: Relation) -> Relation:
    """Whatever its replica identity is: nothing is sent of old rows."""
    key = relation.primary_key
    return replace(
        relation,
        replica_identity="default",
        columns=tuple(
            replace(column, in_identity=column.name in key) for column in relation.columns
        ),
    )
