"""Existing rows as of the position where the slot begins, by COPY."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from cdc_daemon.errors import RejectedError, RetryError
from cdc_daemon.events import PartlyUnreadable
from connectors.postgres.copytext import read_line
from connectors.postgres.pgoutput import tolerant
from connectors.postgres.rowplan import column_plans, understood
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdc_daemon.events import Position, Relation, Row
    from connectors.postgres.session import Connection

BLOCK_BYTES: Final = 256 * 1024
_ESTIMATE: Final = """
select sum(c.reltuples)::bigint from pg_catalog.pg_class c
where c.reltuples >= 0 and c.relkind <> 'p' and c.oid in (
  select %(table)s::regclass union all select relid from pg_partition_tree(%(table)s::regclass)
)
"""

_FILENODES: Final = """
select array_agg(pg_relation_filenode(c.oid) order by c.oid) from pg_catalog.pg_class c
where c.relkind = 'r' and c.oid in (
  select %(table)s::regclass union all select relid from pg_partition_tree(%(table)s::regclass)
)
"""


def filenodes(connection: Connection, relation: Relation) -> list[int]:
    """The files of a table and of its partitions: others mean that it was rewritten."""
    name = sql.Identifier(relation.schema, relation.name).as_string(connection)
    with mapped_errors("read the files of a table"):
        found = connection.execute(_FILENODES, {"table": name}).fetchone()
    return list(found[0]) if found and found[0] else []


class PostgresSnapshot:
    """A `Snapshot`: the exported snapshot of a new slot, imported on a connection of its own.

    Rows that a policy hides would be missing in silence: row security raises an error instead.
    So would the rows of a table that is rewritten between the snapshot and its COPY (ALTER, VACUUM
    FULL, TRUNCATE are not MVCC-safe: the older snapshot reads an empty table): its files tell.
    """

    def __init__(
        self,
        connection: Connection,
        position: Position,
        name: str,
        files: Mapping[Relation, list[int]],
    ) -> None:
        self._connection = connection
        self._position = position
        self._files = files
        """`filenodes` of each table, read before the slot was made."""
        try:
            with mapped_errors("import the snapshot of the slot"):
                connection.execute("begin isolation level repeatable read, read only")
                connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(name)))
                connection.execute("set local row_security = off")
        except BaseException:
            connection.close()
            raise

    @property
    def position(self) -> Position:
        """The consistent point of the slot: the stream goes on exactly there."""
        return self._position

    def estimated_rows(self, relation: Relation) -> int | None:
        """What the statistics say; None for a table that was never analysed."""
        name = sql.Identifier(relation.schema, relation.name).as_string(self._connection)
        with mapped_errors("estimate rows"):
            found = self._connection.execute(_ESTIMATE, {"table": name}).fetchone()
        return found[0] if found else None

    def rows(self, relation: Relation) -> Iterator[list[Row]]:
        """All rows of `relation`, in blocks of about `BLOCK_BYTES` of COPY text."""
        plans = column_plans(relation.columns)
        block: list[Row] = []
        size = 0
        with (
            mapped_errors(f"read table {relation.qualified_name}"),
            understood(f"a row of table {relation.qualified_name}"),
            self._connection.cursor() as cursor,
            cursor.copy(_copy_statement(relation)) as copy,
        ):
            for line in copy:
                raw = bytes(line)
                try:
                    row = read_line(raw, plans)
                except RejectedError:
                    row = read_line(raw, tolerant(plans))
                    block = PartlyUnreadable(block)
                block.append(row)
                size += len(line)
                if size >= BLOCK_BYTES:
                    yield block
                    block, size = [], 0
        # COPY's lock holds until the end of the transaction: nothing rewrites it from here on.
        if (
            relation in self._files
            and filenodes(self._connection, relation) != self._files[relation]
        ):
            raise RetryError(
                f"table {relation.qualified_name} was rewritten or truncated while it was to be "
                "read: its rows must be read again",
                reason="rewritten",
            )
        if block:
            yield block

    def close(self) -> None:
        """End the transaction and the connection. Safe to call twice."""
        self._connection.close()


def _copy_statement(relation: Relation) -> sql.Composed:
    only = sql.SQL("" if relation.kind == "partitioned" else "only ")
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in relation.columns)
    table = sql.Identifier(relation.schema, relation.name)
    return sql.SQL("copy (select {} from {}{}) to stdout").format(columns, only, table)
