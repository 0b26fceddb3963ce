"""A PostgreSQL database as every source in it needs it, whatever brings it the changes.

It needs no REPLICATION: which history the server is in, plain SQL says as well.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import RetryError, SlotInUseError
from cdc_daemon.events import NOWHERE, Position
from cdc_daemon.ports import CHUNK_BYTES
from connectors.postgres.catalog import column_orders, describe
from connectors.postgres.chunkreader import PostgresChunkReader, wal_pages
from connectors.postgres.clock import DatabaseClock
from connectors.postgres.covering import coverage
from connectors.postgres.history import require_primary
from connectors.postgres.preflight import (
    OLDEST_VERSION,
    Candidate,
    find_candidates,
)
from connectors.postgres.protection import Protector
from connectors.postgres.puredriver import connect_beside
from connectors.postgres.readable import kind_reasons, privilege_reasons
from connectors.postgres.reads import ReadVisibility
from connectors.postgres.rowplan import unknown_columns
from connectors.postgres.session import Connection, connect, mapped_errors
from connectors.postgres.shapes import PostgresShapeReader
from connectors.postgres.timelines import Timeline, read_timeline
from connectors.postgres.tokens import PostgresTokens
from connectors.postgres.visibility import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cdc_daemon.events import Coverage, Relation
    from cdc_daemon.ports import TableRequest
    from connectors.postgres.columnrules import ColumnRule
    from connectors.postgres.puredriver import PureConnection
    from connectors.postgres.reads import Reads
    from connectors.postgres.visibility import SnapshotVisibility
    from connectors.postgres.walpages import WalPages

__all__ = [
    "Candidate",
    "Connection",
    "Database",
    "DatabaseClock",
    "holder_of",
    "mapped_errors",
    "of_whole_rows",
    "take_lock",
]

log = structlog.get_logger(__name__)

_IDENTITY: Final = """
select system_identifier::text, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
from pg_control_system()
"""
_SERVER: Final = """
select current_setting('server_version_num')::int, current_setting('server_encoding')
"""
_NOTHING: Final[Mapping[int, Position]] = MappingProxyType({})
_END: Final = "select pg_current_wal_flush_lsn() - '0/0'"
_LOCK: Final = "select pg_try_advisory_lock(hashtextextended('{}', 0))"
_HOLDER: Final = """
select l.pid, coalesce(a.application_name, '')
from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a using (pid),
     hashtextextended(%s, 0) as key
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
  and l.classid::int8 = (key >> 32) & 4294967295 and l.objid::int8 = key & 4294967295
"""


class Database:
    """One database. One thread owns it; the readers that it makes are for others."""

    def __init__(self, dsn: str, name: str, rules: Sequence[ColumnRule] = ()) -> None:
        """`name` is what the daemon calls itself there, `rules` those for columns."""
        self.dsn = dsn
        self.name = name
        self._protector = Protector(rules)
        self._rules_checked = False
        self._queries: Connection | None = None
        self.timeline: Timeline | None = None
        """As it was when it was asked for last."""
        self._formerly: dict[str, int] = {}

    def queries(self) -> Connection:
        """The connection for looking around. Raises RetryError on a standby."""
        if self._queries is None or self._queries.closed:
            connection = connect(self.dsn, name=self.name)
            try:
                require_primary(connection)
            except BaseException:
                connection.close()
                raise
            self._queries = connection
        return self._queries

    def session(self) -> PureConnection:
        """A session by the other driver, on the very server that `queries` goes to."""
        return connect_beside(self.queries(), self.name)

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """Look tables up in the catalog; what the rules of `columns` protect comes protected."""
        relations = describe(self.queries(), tables, self._formerly)
        if tables and not self._rules_checked:
            for _, rule, why in self._protector.require_used(relations):
                log.warning("column_rule_unused", match=rule.match, why=why)
            self._rules_checked = True
        candidates, _ = find_candidates(self.queries(), relations)
        self._formerly = {each.relation.qualified_name: each.table.oid for each in candidates}
        return self._protector.protect(relations)

    def identity(self) -> Timeline:
        """System identifier and timeline. What was connected before a failover is left."""
        found = self._identity()
        if self.timeline not in {None, found}:
            self.close()  # it may go to the server from before
            found = self._identity()
        self.timeline = found
        return found

    def _identity(self) -> Timeline:
        with mapped_errors("look which history the server is in"):
            [(system, number)] = self.queries().execute(_IDENTITY)
        return Timeline(system, int(number, 16))

    def shared_until(self, source_id: str) -> Position:
        """How far the log is if that is the server's own history; NOWHERE if it isn't.

        Where an earlier timeline was left, only a replication connection could tell. Raises
        RetryError where the server is an earlier part of that history.
        """
        here, other = self.identity(), read_timeline(source_id)
        if here == other:
            with mapped_errors("read the server's position"):
                [(end,)] = self.queries().execute(_END)
            return Position(int(end))
        if here.system == other.system and here.number < other.number:
            raise RetryError(
                f"the server is in timeline {here.number}, and timeline {other.number} of the same "
                "system has been followed already: it is the primary from before a failover. Let "
                "source.dsn lead to the new one",
                reason="left_behind",
            )
        return NOWHERE

    def order(self, relation: Relation) -> tuple[str, ...]:
        """As `Relation.order`, as of now; of the table that was described."""
        oid = self._formerly.get(relation.qualified_name, 0)
        return column_orders(self.queries(), [oid]).get(oid, ())

    def candidates(self, relations: Sequence[Relation]) -> tuple[list[Candidate], list[str]]:
        """The tables that the relations are, and a reason for each that is gone."""
        return find_candidates(self.queries(), relations)

    def reading_reasons(self, candidate: Candidate) -> Iterator[str]:
        """Why the rows of a table can't be read, and what mends it."""
        yield from kind_reasons((candidate.table, *candidate.leaves))
        yield from privilege_reasons(self.queries(), candidate.relation, candidate.table)

    def warn_of_unknown_types(self, relations: Sequence[Relation]) -> None:
        """Say which columns are passed on without being understood."""
        for table, column, types in unknown_columns(relations):
            log.warning("type_unknown", table=table, column=column, types=types)

    def server_reasons(self) -> Iterator[str]:
        """Why the database can't be followed, whatever is mapped."""
        with mapped_errors("read the server's settings"):
            [(version, encoding)] = self.queries().execute(_SERVER)
        if version < OLDEST_VERSION:
            yield f"PostgreSQL {version // 10000} is too old: 14 or later is needed"
        if encoding != "UTF8":
            yield f"the database is encoded in {encoding}; only UTF8 databases can be followed"

    def wal_pages(self) -> WalPages:
        """How the log is divided."""
        return wal_pages(self.queries())

    def chunk_reader(
        self, reads: Reads | None, before: SnapshotVisibility | None, chunk_bytes: int = CHUNK_BYTES
    ) -> PostgresChunkReader:
        """Reads chunks beside such reads; None: beside transactions, by the server's numbers.

        `before`: what the first of them leaves out.
        """
        reader = (self.dsn, self.name, before, chunk_bytes, self.timeline)
        if reads is None:
            return PostgresChunkReader(*reader)
        return PostgresChunkReader(*reader, lambda seen: ReadVisibility(seen, reads))

    def clock(self) -> DatabaseClock:
        """The server's clock, for another thread."""
        return DatabaseClock(self.dsn, self.name)

    def token_reader(self, shared: Mapping[int, Position] = _NOTHING) -> PostgresTokens:
        """Knows the server's timeline, and how far earlier ones are `shared` at least."""
        return PostgresTokens(self.identity(), shared, self.wal_pages(), is_exact=False)

    def shape_reader(self) -> PostgresShapeReader:
        """Reads what tables look like, for another thread."""
        return PostgresShapeReader(self.dsn, self.name, lambda: self.timeline)

    def coverage(self) -> Coverage:
        """What is visible now."""
        return coverage(self.queries())

    def visibility(self, seen: str, reads: Reads) -> ReadVisibility:
        """What a snapshot sees of such reads."""
        return ReadVisibility(read_snapshot(seen), reads)

    def held_by(self, lock: str) -> str | None:
        """The server's process that holds the lock of that name; None if nobody does."""
        return holder_of(self.queries(), lock)

    def close(self) -> None:
        """Close the connection for looking around. Safe to call twice."""
        if self._queries is not None:
            self._queries.close()
            self._queries = None


def of_whole_rows(relations: Sequence[Relation]) -> list[Relation]:
    """As they are where every change has the whole row: large values, too."""
    return [
        replace(one, columns=tuple(replace(column, out_of_line=False) for column in one.columns))
        for one in relations
    ]


def holder_of(connection: Connection, lock: str) -> str | None:
    """The server's process that holds the lock of that name; None if nobody does."""
    with mapped_errors("look who reads"):
        found = connection.execute(_HOLDER, [lock]).fetchone()
    return None if found is None else f"server process {found[0]} ({found[1] or 'unknown'})"


def take_lock(session: PureConnection, database: Database, lock: str) -> None:
    """Be the only one who holds the lock of that name, as long as the session lasts.

    `lock` has no quotes. Raises SlotInUseError, naming the process that holds it.
    """
    [(taken,)] = session.rows(_LOCK.format(lock), "lock the source for others")
    if taken != "t":
        holder = database.held_by(lock) or "a server process that has just ended"
        raise SlotInUseError(
            f"{holder} reads the source already: another daemon of this pipeline runs. Stop that "
            "one, set standby: true in both, or end the process: "
            "select pg_terminate_backend(pid)"
        )
