"""Divide a table into chunks that are read one by one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import errors, sql

from cdc_daemon.errors import RetryError, SchemaChangedError, SourceError
from cdc_daemon.events import Chunk
from connectors.postgres.catalog import leaf_partitions, list_tables
from connectors.postgres.readable import reading_reasons
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.catalog import Table
    from connectors.postgres.session import Connection

LOCK_TIMEOUT_SECONDS: Final = 3
"""How long to wait behind ALTER TABLE, VACUUM FULL and the like before the worker may do something
else. Nobody but such statements ever waits for us."""

_FILENODES: Final = """
select oid, pg_relation_filenode(oid) from unnest(%s::oid[]) oid
"""
_COLUMNS: Final = """
select attname::text, atttypid from pg_attribute
where attrelid = any(%s::oid[]) and attnum > 0 and not attisdropped
"""
_SIZES: Final = """
select oid, pg_relation_size(oid) / current_setting('block_size')::int, pg_table_size(oid)
from unnest(%s::oid[]) oid
"""
_HOLDER: Final = sql.SQL(
    "select pid, query from pg_stat_activity join pg_locks using (pid) "
    "where relation = {}::regclass and granted and mode = 'AccessExclusiveLock'"
)


class _Extent(NamedTuple):
    """How large a table is."""

    blocks: int | None
    """None where it was dropped meanwhile."""
    size_bytes: int | None
    """With its large values (TOAST)."""


def plan_chunks(connection: Connection, relation: Relation, chunk_bytes: int) -> list[Chunk]:
    """The chunks of a table, or of all partitions that hold its rows; none where it is empty.

    The last one ends where the table ends now, although it may grow before it is read: whoever adds
    a block later commits later, so after the slot began, and is streamed. Whatever was committed
    before the slot's consistent point is in a block that is there now, and later snapshots see it
    (`heldcommits`). That needs the slot to exist already, with the table in the publication.
    """
    name = _quoted(relation)
    with mapped_errors(f"plan to read {name}"), locked_is_retried(name), connection.transaction():
        connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
        leaves = _leaves(connection, relation)
        oids = [leaf.oid for leaf in leaves]
        require_same_columns(connection, relation, oids)
        # Files first: a table that is rewritten in between has another one when it is read. The
        # other way round the rewritten table could be larger than what is planned for its file.
        filenodes: dict[int, int | None] = dict(connection.execute(_FILENODES, [oids]).fetchall())
        extents = {oid: _Extent(*rest) for oid, *rest in connection.execute(_SIZES, [oids])}
    return [
        chunk
        for leaf in leaves
        if (filenode := filenodes[leaf.oid])  # None where it was dropped meanwhile
        for chunk in _divided(leaf, filenode, extents[leaf.oid], chunk_bytes)
    ]


def require_same_columns(connection: Connection, relation: Relation, oids: Sequence[int]) -> None:
    """Rows are read and decoded by the columns of when the mappings were compiled.

    One that was added since, and filled before the slot or the publication had the table, is in no
    change that comes, and reading by the older columns would leave it out: for ever, because a
    column that was added without values is no reason to read again.
    """
    known = {column.name: column.type.oid for column in relation.columns if column.type.oid}
    found = _columns(connection, oids)
    if changed := sorted({name for name, oid in found if oid != known.get(name, oid)}):
        raise SchemaChangedError(
            relation.qualified_name, f"its column {', '.join(changed)} has another type now"
        )
    _require_none_added(relation, found)


def require_no_column_added(connection: Connection, relation: Relation, oid: int) -> None:
    """What rows were read by is all that is to be shown of them.

    The same for a chunk that was read: where nobody leaves because the stream has another column
    (a relay writes it as it comes), rows of the chunk would come behind that, and lack it.
    """
    _require_none_added(relation, _columns(connection, [oid]))


def _columns(connection: Connection, oids: Sequence[int]) -> list[tuple[str, int]]:
    return connection.execute(_COLUMNS, [list(oids)]).fetchall()


def _require_none_added(relation: Relation, found: Sequence[tuple[str, int]]) -> None:
    if added := relation.added(name for name, _ in found):
        why = f"column {', '.join(added)} was added"
        raise SchemaChangedError(relation.qualified_name, why, in_catalog=True)


def _leaves(connection: Connection, relation: Relation) -> Sequence[Table]:
    """The tables that hold the rows.

    Raises RetryError where it is gone, SourceError with every reason why one can't be read.
    """
    tables = list_tables(connection)
    found = [
        table for table in tables if (table.schema, table.name) == (relation.schema, relation.name)
    ]
    if not found:
        # It may be made anew just now, in two steps; else the catalog will show that it is gone.
        name = relation.qualified_name
        raise RetryError(f"table {name} is away: it is read once it is there again", reason="away")
    leaves = leaf_partitions(connection, found, tables).get(found[0].oid, found)
    if reasons := list(reading_reasons(connection, relation, leaves)):
        raise SourceError("\n".join(reasons))
    return leaves


def _divided(table: Table, filenode: int, extent: _Extent, chunk_bytes: int) -> Iterator[Chunk]:
    """Chunks of whole blocks, of about `chunk_bytes` on average."""
    if not extent.blocks or not extent.size_bytes:
        return
    name = _quoted(table)
    blocks = max(1, chunk_bytes * extent.blocks // extent.size_bytes)
    for first in range(0, extent.blocks, blocks):
        end = min(first + blocks, extent.blocks)
        yield Chunk(name, table.oid, filenode, (first, 0), (end, 0))


def _quoted(table: Table | Relation) -> str:
    return sql.Identifier(table.schema, table.name).as_string()


@contextmanager
def locked_is_retried(table: str) -> Iterator[None]:
    """A lock that isn't had within `LOCK_TIMEOUT_SECONDS` will be had later."""
    try:
        yield
    except errors.LockNotAvailable as error:
        holder = _HOLDER.format(sql.Literal(table)).as_string()
        raise RetryError(
            f"table {table} is locked: its rows are read once it is free. Who holds it: {holder}",
            reason="locked",
        ) from error
