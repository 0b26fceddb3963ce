"""The connection that polls: one snapshot at a time, and our turn among other daemons."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import RetryError, SchemaChangedError
from connectors.polling.copying import Copy
from connectors.polling.statements import literal, quoted
from connectors.postgres.claiming import IS_QUIET
from connectors.postgres.database import take_lock
from connectors.postgres.puredriver import StatementError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Position, Relation
    from connectors.postgres.database import Database
    from connectors.postgres.puredriver import Texts

LOCK_TIMEOUT_SECONDS: Final = 3
"""How long a poll waits behind ALTER TABLE and the like, and others behind it."""
IDLE_SECONDS: Final = 300
"""A daemon that is frozen must not hold a snapshot for ever; nothing else takes so long."""

END_SECONDS: Final = 5
"""Within so long a session that was ended at the server says so."""

# None of these takes a snapshot.
_BEGIN: Final = (
    "begin isolation level repeatable read, read only",
    f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'",
    f"set local idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'",
    "set local row_security = off",
    "set local statement_timeout = 0",
)
_SNAPSHOT: Final = "select pg_current_snapshot()::text"
_FILES: Final = """
select string_agg(concat_ws(':', oid, pg_relation_filenode(oid)), ' ' order by oid)
from (
  select to_regclass({table})::oid as oid
  union select relid::oid from pg_catalog.pg_partition_tree(to_regclass({table}))
) as files
"""
_TYPES: Final = """
select attname, atttypid from pg_catalog.pg_attribute
where attrelid = to_regclass({table}) and attnum > 0 and not attisdropped
"""
_PID: Final = "select pg_backend_pid()"
_END: Final = "select pg_current_wal_insert_lsn() - '0/0'"
_FLUSHED: Final = "select pg_current_wal_flush_lsn() - '0/0'"
_FLUSH: Final = "select pg_logical_emit_message(true, 'cdc-daemon', 'flush')"
_TIME: Final = "select extract(epoch from clock_timestamp())::float8"
_END_SESSION: Final = "select pg_terminate_backend({pid})"


_OTHER_TABLE: Final = frozenset({"42703", "42P01", "3F000"})
"""SQLSTATEs of columns, tables and schemas that aren't there."""


class Look(NamedTuple):
    """What the source looked like before a snapshot was taken."""

    end: Position
    """Of the log."""
    time: float
    """Its clock."""
    quiet: bool
    """`IS_QUIET`."""


class Session:
    """One connection. The thread of the source owns it."""

    def __init__(self, database: Database, silence_seconds: float) -> None:
        """`silence_seconds`: how long the server may go without giving a row."""
        self._database = database
        self._silence_seconds = silence_seconds
        self._copy: Copy | None = None
        self.broken = False
        """Whether it is of no use any more, but to be closed."""
        self._pages = database.wal_pages()
        self._connection = database.session()
        try:
            self._pid = self.value(_PID)
        except BaseException:
            self._connection.close()
            raise

    def lines(self, statement: str, doing: str = "poll") -> Sequence[Texts]:
        """What a statement gives, as the server writes it."""
        self.broken = True
        found = self._connection.rows(statement, doing)
        self.broken = False
        return found

    def line(self, statement: str) -> Texts:
        """The one line that a statement gives."""
        [found] = self.lines(statement)
        return found

    def value(self, statement: str) -> str | None:
        """The one text that a statement gives, if it gives any."""
        found = self.lines(statement)
        return found[0][0] if found else None

    def take_turn(self, lock: str) -> None:
        """Be the one that polls, until this session ends. Raises SlotInUseError."""
        take_lock(self._connection, self._database, lock)

    def log_end(self) -> Position:
        """Where the last record of the log ends."""
        return self._pages.last_end(int(self.value(_END) or 0))

    def log_on_disk(self) -> Position:
        """Where the log ends, once all of that is on the server's disk.

        A snapshot sees commits that aren't (synchronous_commit = off). If the server dies then,
        they are gone, and others get their numbers.
        """
        end = self.log_end()
        if int(self.value(_FLUSHED) or 0) < end:
            self.lines(_FLUSH)  # a commit of ours, which waits for the disk and for nobody else
        return end

    def look(self) -> Look:
        """In this order: what is claimed by it must be true of a snapshot that is taken after."""
        source_time = float(self.value(_TIME) or 0)
        end = self.log_end()
        return Look(end, source_time, self.value(IS_QUIET) == "t")

    def visible(self) -> str:
        """What a snapshot of now sees."""
        return self.value(_SNAPSHOT) or ""

    def files(self, relation: Relation) -> str | None:
        """Which files hold a table, now: others once it was rewritten or truncated.

        Raises SchemaChangedError where its columns aren't what they were.
        """
        table = literal(f"{quoted(relation.schema)}.{quoted(relation.name)}")
        types = {str(name): oid for name, oid in self.lines(_TYPES.format(table=table))}
        changed = [
            column.name
            for column in relation.columns
            if column.type.oid and types.get(column.name) != str(column.type.oid)
        ]
        if changed:
            why = f"its column {', '.join(changed)} has another type now, or is gone"
            raise SchemaChangedError(relation.qualified_name, why)
        if added := relation.added(types):  # rows may have been given values of it already
            why = f"column {', '.join(added)} was added"
            raise SchemaChangedError(relation.qualified_name, why, in_catalog=True)
        return self.value(_FILES.format(table=table))

    @contextmanager
    def snapshot(self) -> Iterator[str]:
        """A transaction that sees one moment; gives what that is."""
        for statement in _BEGIN:
            self.lines(statement)
        seen = self.visible()
        self.broken = True  # until the end, whatever comes
        yield seen
        self.lines("rollback")

    def copy(self, statement: str, of_table: str) -> Iterator[list[bytes]]:
        """The rows that a statement gives as lines of COPY, some at a time, or none for a while."""

        def run(lines: Copy) -> None:
            try:
                command = f"copy ({statement}) to stdout"
                self._connection.copy(command, lines, f"read table {of_table}")
            except BaseException:
                self._connection.close()  # nobody else may while it receives
                raise

        self._copy = Copy(run)
        heard = time.monotonic()
        try:
            for piece in self._copy.pieces():
                heard = time.monotonic() if piece else heard
                if time.monotonic() - heard > self._silence_seconds:
                    raise _silent(of_table)
                yield piece
        except StatementError as error:
            if error.sqlstate in _OTHER_TABLE:
                raise SchemaChangedError(of_table, str(error)) from error
            raise
        self._copy = None

    def close(self) -> None:
        """End it; where it is amid something, at the server. Safe to call twice."""
        copy, self._copy = self._copy, None
        if copy is not None and not copy.ends_within(0):
            with suppress(RetryError), closing(self._database.session()) as other:
                other.rows(_END_SESSION.format(pid=self._pid))
        if copy is None or copy.ends_within(END_SECONDS):
            self._connection.close()


def _silent(table: str) -> RetryError:
    return RetryError(
        f"the server gave no row of table {table} for as long as source.statement_timeout says: "
        "raise that, or let the server find the rows faster",
        reason="timeout",
    )
