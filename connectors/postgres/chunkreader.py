"""Read the rows of one chunk as of one snapshot, on a connection of its own."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg
from psycopg import sql

from cdc_daemon.errors import RejectedError, RewrittenError
from cdc_daemon.events import NOWHERE, PartlyUnreadable
from cdc_daemon.ports import ChunkRows, FoundRows
from connectors.postgres.cancellations import Cancellations
from connectors.postgres.chunks import (
    LOCK_TIMEOUT_SECONDS,
    locked_is_retried,
    plan_chunks,
    require_no_column_added,
    require_same_columns,
)
from connectors.postgres.condition import require_condition
from connectors.postgres.copytext import read_line
from connectors.postgres.heldcommits import require_visible
from connectors.postgres.history import require_server
from connectors.postgres.readfailures import (
    as_compiled,
    away_is_retried,
    condition_is_blamed,
    gone_is_rewritten,
    keys_are_of_their_types,
    refused_is_told,
)
from connectors.postgres.replayed import END_OF_LOG
from connectors.postgres.rowplan import column_plans, understood
from connectors.postgres.rowstatements import (
    check_condition,
    copy_chunk,
    copy_keys,
    lock_chunk,
    lock_table,
    look_at_keys,
)
from connectors.postgres.session import connect, mapped_errors
from connectors.postgres.settling import Settling
from connectors.postgres.tupleplan import PASS, tolerant
from connectors.postgres.visibility import read_snapshot
from connectors.postgres.walpages import WalPages
from connectors.postgres.writers import Writers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.events import Chunk, Position, Relation, Row
    from cdc_daemon.ports import Visibility
    from connectors.postgres.session import Connection
    from connectors.postgres.timelines import Timeline
from connectors.postgres.visibility import SnapshotVisibility

MOST_CHUNKS: Final = 4
"""Reading ends early after this many times the text that was planned: blocks are of unequal size,
and large values are packed. That is rare, so that a chunk is hardly ever read in two snapshots."""

_SERVER: Final = """
select current_setting('wal_block_size')::int, pg_size_bytes(current_setting('wal_segment_size'))
"""
# None of these takes a snapshot, and nor does LOCK TABLE. The rows must come in the order of their
# places, and only their blocks be read: by a TID range scan, whatever the settings of the role.
_SETTINGS: Final = f"""
set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s';
set local statement_timeout = 0;
set local row_security = off;
set local standard_conforming_strings = on;
set local enable_tidscan = on;
set local enable_seqscan = off;
set local synchronize_seqscans = off;
set local max_parallel_workers_per_gather = 0
"""
_MAY_LOCK: Final = "select has_table_privilege(to_regclass(%s), 'select')"
_SNAPSHOT: Final = "select pg_current_snapshot()::text"
_FILE: Final = "to_regclass(%(table)s)::oid, pg_relation_filenode(to_regclass(%(table)s))"
_SNAPSHOT_AND_FILE: Final = f"{_SNAPSHOT}, {_FILE}"
_OID: Final = "select to_regclass(%s)::oid"
# A domain may have been given a constraint that rows from before don't meet: what is under it.
_KEY_TYPES: Final = """
with recursive types as (
  select attname::text as name, atttypid as type, atttypmod as modifier from pg_attribute
  where attrelid = %s and attname = any(%s) and not attisdropped
  union all
  select name, typbasetype, case when typtypmod < 0 then modifier else typtypmod end
  from types join pg_type on pg_type.oid = type where typtype = 'd'
)
select name, format_type(type, modifier)
from types join pg_type on pg_type.oid = type where typtype <> 'd'
"""
_END_OF_LOG: Final = f"select {END_OF_LOG}"
_REACHED: Final = f"select {END_OF_LOG}, {_FILE}"


class _Text(NamedTuple):
    """What COPY gave."""

    rows: list[Row]
    size_bytes: int
    last: bytes
    """The place of the last row as COPY wrote it, if reading ended there."""


class PostgresChunkReader:
    """A `ChunkReader`: one thread owns it; it connects again by itself.

    TRUNCATE and statements that rewrite a table aren't MVCC-safe: a snapshot that is older than
    they are reads an empty table. So the lock comes first, then the snapshot, and the file must be
    the one that was planned, before and after. A role that may read only some columns can't lock
    the table by itself; COPY then does, and the second look at the file finds what came between.
    """

    of_standby = False

    def __init__(
        self,
        dsn: str,
        name: str,
        before: SnapshotVisibility | None,
        chunk_bytes: int,
        timeline: Timeline | None,
        seeing: Callable[[SnapshotVisibility], Visibility] = lambda seen: seen,
    ) -> None:
        self._dsn = dsn
        self._name = name
        self._connection: Connection | None = None
        self._pages = WalPages(1, 1)
        self._chunk_bytes = chunk_bytes
        self._timeline = timeline
        """What the stream is of."""
        self._before = before
        """What the slot's stream leaves out, where the slot was made just now."""
        self._seeing = seeing
        """What a snapshot says of transactions as the stream numbers them."""
        self._cancellations = Cancellations()
        self._settling = Settling()
        self._writers = Writers()

    def plan(self, relation: Relation) -> list[Chunk]:
        """Divide the table, and each of its partitions, by blocks."""
        return plan_chunks(self._connected(), relation, self._chunk_bytes)

    def check(self, relation: Relation, where: str) -> None:
        """Have the server plan a query by it, in a transaction that can't write."""
        require_condition(where)
        connection = self._connected()
        name = sql.Identifier(relation.schema, relation.name).as_string(connection)
        with (
            mapped_errors(f"plan to read {name}"),
            locked_is_retried(name),
            refused_is_told(),
            connection.transaction(force_rollback=True),
        ):
            connection.execute(_SETTINGS)
            connection.execute(check_condition(relation, where))

    def read(self, relation: Relation, chunk: Chunk, where: str = "") -> ChunkRows:
        """The rows of `chunk`, by COPY in a transaction that is as short as that.

        Reading ends early, with a `rest`, after `MOST_CHUNKS` times what was planned. Raises
        RewrittenError when the table has another file than planned, or is gone; RetryError while
        it is locked; SchemaChangedError where its columns are others; SourceError where `where`
        can't choose rows any more.
        """
        connection = self._connected()
        with (
            mapped_errors(f"read table {chunk.table}"),
            locked_is_retried(chunk.table),
            gone_is_rewritten(chunk),
            understood(f"a row of table {chunk.table}"),
            as_compiled(relation),
        ):
            [(may_lock,)] = connection.execute(_MAY_LOCK, [chunk.table])
            sees_to = self._sees_to(connection)
            # There is nothing to commit, and where COPY was cut short nothing could be.
            with connection.transaction(force_rollback=True):
                connection.execute(_SETTINGS)
                if may_lock:
                    connection.execute(lock_chunk(chunk))
                seen = self._seeing_to(sees_to, _snapshot(connection, chunk))
                with (
                    condition_is_blamed(connection, relation, chunk.table, where),
                    self._cancellations.blamed_on(where, chunk),
                ):
                    statement = copy_chunk(relation, chunk, where)
                    text = _copy(connection, relation, statement, MOST_CHUNKS * self._chunk_bytes)
            reached = self._reached(connection, chunk)
            require_no_column_added(connection, relation, chunk.oid)
        return _chunk_rows(chunk, text, seen, reached)

    def read_keys(
        self,
        relation: Relation,
        columns: Sequence[str],
        keys: Sequence[tuple[str, ...]],
        where: str = "",
    ) -> FoundRows:
        """The rows with these keys, by COPY in a transaction that is as short as that."""
        connection = self._connected()
        name = sql.Identifier(relation.schema, relation.name).as_string(connection)
        with (
            mapped_errors(f"read rows of table {name}"),
            locked_is_retried(name),
            away_is_retried(name),
            understood(f"a row of table {name}"),
            as_compiled(relation),
            keys_are_of_their_types(relation),
        ):
            [(may_lock,)] = connection.execute(_MAY_LOCK, [name])
            sees_to = self._sees_to(connection)
            with connection.transaction(force_rollback=True):
                connection.execute(_SETTINGS)
                if may_lock:
                    connection.execute(lock_table(relation))
                [(oid,)] = connection.execute(_OID, [name])
                require_same_columns(connection, relation, [oid])
                [(snapshot,)] = connection.execute(_SNAPSHOT)
                types = key_types(connection, relation, columns, oid)
                if where:  # else the condition would be blamed for a key that is none
                    connection.execute(look_at_keys(types, keys))
                with condition_is_blamed(connection, relation, name, where):
                    statement = copy_keys(relation, columns, types, keys, where)
                    text = _copy(connection, relation, statement, MOST_CHUNKS * self._chunk_bytes)
            [(end,)] = connection.execute(_END_OF_LOG)
        reached = self._pages.last_end(int(end))
        return FoundRows(text.rows, self._seeing_to(sees_to, snapshot), reached)

    def settle(self, joined: Relation | None = None) -> None:
        """Commits from before the slot, or the daemon, may wait for a synchronous standby."""
        if joined is not None:
            self._writers.require_ended(self._connected(), joined)
        if self._before is not None:
            require_visible(self._connected(), self._before)
        else:
            self._settling.require(self._connected())

    def visibility(self) -> Visibility:
        """What a new snapshot sees; it isn't held."""
        connection = self._connected()
        sees_to = self._sees_to(connection)
        with mapped_errors("take a snapshot"):
            [(snapshot,)] = connection.execute(_SNAPSHOT)
        return self._seeing_to(sees_to, snapshot)

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _reached(self, connection: Connection, chunk: Chunk) -> Position:
        """Where the log ends now: every commit that an earlier snapshot sees lies before."""
        [(end, *file)] = connection.execute(_REACHED, {"table": chunk.table})
        _require_planned(file, chunk)
        return self._pages.last_end(int(end))

    def _sees_to(self, connection: Connection) -> Position:  # noqa: ARG002 - of a standby
        """Up to where every snapshot sees all that is taken from now on, if that is known."""
        return NOWHERE

    def _seeing_to(self, sees_to: Position, snapshot: str) -> Visibility:  # noqa: ARG002 - the same
        """What the snapshot sees that was taken since."""
        return self._seeing(read_snapshot(snapshot))

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = connect(self._dsn, name=self._name)
            try:
                require_server(connection, self._timeline, is_standby=self.of_standby)
                self._pages = wal_pages(connection)
            except BaseException:
                connection.close()
                raise
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            self._connection = connection
        return self._connection


def wal_pages(connection: Connection) -> WalPages:
    """How the log is divided."""
    with mapped_errors("read the server's settings"):
        [(page_bytes, segment_bytes)] = connection.execute(_SERVER)
    return WalPages(page_bytes, segment_bytes)


def key_types(
    connection: Connection, relation: Relation, columns: Sequence[str], oid: int | None
) -> list[str]:
    """What the types of `columns`, under all domains, are called now: renaming takes no lock."""
    found: dict[str, str] = dict(connection.execute(_KEY_TYPES, [oid, list(columns)]).fetchall())
    # A column that is gone is for COPY to tell, whatever its type was.
    known = {column.name: column.type.declared for column in relation.columns}
    return [found.get(name, known[name]) for name in columns]


def _snapshot(connection: Connection, chunk: Chunk) -> str:
    """Take the transaction's snapshot, of which the table's file must be the one planned."""
    [(snapshot, *file)] = connection.execute(_SNAPSHOT_AND_FILE, {"table": chunk.table})
    _require_planned(file, chunk)
    return str(snapshot)


def _require_planned(file: list[int | None], chunk: Chunk) -> None:
    """What a function of the server says of a table's file is true now, not as of a snapshot."""
    if file != [chunk.oid, chunk.filenode]:
        raise RewrittenError(
            f"table {chunk.table} was rewritten, truncated or made anew since its chunks were "
            "planned (ALTER TABLE, VACUUM FULL, CLUSTER, TRUNCATE)"
        )


class _EnoughError(Exception):
    """Ends COPY: psycopg cancels it, and reads on to its end, only when an exception passes."""


def _copy(
    connection: Connection, relation: Relation, statement: sql.Composed, read_bytes: int
) -> _Text:
    """The rows that `statement` gives, until `read_bytes` are reached."""
    plans = (*column_plans(relation.columns), PASS)
    rows: list[Row] = []
    size = 0
    last = b""
    with (
        suppress(_EnoughError),
        connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        for line in copy:
            raw = bytes(line)
            try:
                row = read_line(raw, plans)
            except RejectedError:
                row = read_line(raw, tolerant(plans))
                if not isinstance(rows, PartlyUnreadable):
                    rows = PartlyUnreadable(rows)
            row.pop()  # its place
            rows.append(row)
            size += len(raw)
            if size >= read_bytes:
                last = raw.rpartition(b"\t")[2]
                raise _EnoughError
    return _Text(rows, size, last)


def _chunk_rows(chunk: Chunk, text: _Text, seen: Visibility, reached: Position) -> ChunkRows:
    """Where reading ended early the chunk ends right behind the last row, and the rest begins."""
    rest = None
    if text.last:
        block, line = (int(number) for number in text.last.strip(b"()\n").split(b","))
        rest = replace(chunk, first=(block, line + 1))
        chunk = replace(chunk, end=rest.first)
    return ChunkRows(chunk, text.rows, seen, reached, rest, text.size_bytes)
