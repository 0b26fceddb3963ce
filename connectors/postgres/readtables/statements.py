"""The SQL that writes documents into one table, a batch in one statement. Pure.

A batch comes as one JSON array, `[id, routing, version, document]` for each operation: the server
takes it apart, so nothing of a document is read here. Parameters are numbered, as the server has
them: names of columns may hold a percent sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import sql

from connectors.postgres.readtables.columns import (
    DELETED_AT,
    DOCUMENT,
    ID,
    ROUTING,
    VERSION,
    Column,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import DocumentOperation

KEPT_FOR: Final = "15 minutes"
"""How long the version of a deleted document is remembered, against a request that was lost in the
network and arrives late: the connection it came by is gone long before."""

_OPERATION: Final = b"[%b,%b,%d,%b]"
_NULL: Final = b"null"

# In order of their ids: of two writers neither waits for a row that the other has, and has one
# that the other waits for.
_WRITE: Final = """
with given as materialized (
  select place, (one ->> 0) collate "C" as id, coalesce(one ->> 1, '') collate "C" as routing,
         (one ->> 2)::bigint as version, nullif(one -> 3, 'null') as document
  from jsonb_array_elements($1::jsonb) with ordinality as batch (one, place)
), written as (
  insert into {table} as there ({own}{names})
  select given.id, given.routing, given.version,
         case when given.document is null then clock_timestamp() end, given.document{values}
  from given{fields}
  order by given.id, given.routing
  on conflict ({id}, {routing}) do update set {assignments}
  where there.{version} <= excluded.{version}
  returning {id}, {routing}
)
select given.place::int from given where not exists (
  select from written where written.{id} = given.id and written.{routing} = given.routing
)
"""
_SWEEP: Final = """
with old as (
  select {id}, {routing} from {table}
  where {version} < $1 and {deleted} is null and ({id}, {routing}) >= ($2, $3)
  order by {id}, {routing} limit $4 for update
)
update {table} as there
set {version} = $5, {deleted} = clock_timestamp(), {document} = null{nulls}
from old where there.{id} = old.{id} and there.{routing} = old.{routing}
returning there.{id}, there.{routing}
"""
_FORGET: Final = """
delete from {table} where ctid = any (array(
  select ctid from {table} where {deleted} < clock_timestamp() - interval {kept} limit $1
  for update skip locked
))
"""


class Statements(NamedTuple):
    """Those of one table."""

    write: bytes
    """The batch as JSON; gives the places (from 1) of what was older than what is there."""
    sweep: bytes
    """Make tombstones of a page of what is below a version ($1; the tombstones have version $5);
    from an id and routing on; at most so many; gives those that were there."""
    forget: bytes
    """Delete at most so many tombstones that are old."""


def statements(schema: str, index: str, columns: Sequence[Column]) -> Statements:
    """The statements for a table that has these columns for fields."""
    names = [sql.Identifier(column.name) for column in columns]
    own = [sql.Identifier(name) for name in (ID, ROUTING, VERSION, DELETED_AT, DOCUMENT)]
    set_anew = [*own[2:], *names]
    parts = {
        "table": sql.Identifier(schema, index),
        "id": own[0],
        "routing": own[1],
        "version": own[2],
        "deleted": own[3],
        "document": own[4],
        "own": sql.SQL(", ").join(own),
        "names": _each(", {0}", names),
        "values": _each(", fields.{0}", names),
        "fields": _fields(columns),
        "assignments": sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(name) for name in set_anew
        ),
        "nulls": _each(", {0} = null", names),
        "kept": sql.Literal(KEPT_FOR),
    }
    return Statements(
        *(sql.SQL(each).format(**parts).as_bytes(None) for each in (_WRITE, _SWEEP, _FORGET))
    )


def _fields(columns: Sequence[Column]) -> sql.Composable:
    if not columns:
        return sql.SQL("")
    declared = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type))
        for column in columns
    ]
    return sql.SQL(
        " left join lateral jsonb_to_record(given.document) as fields ({}) on true"
    ).format(sql.SQL(", ").join(declared))


def _each(form: str, names: Sequence[sql.Identifier]) -> sql.Composed:
    return sql.SQL("").join(sql.SQL(form).format(name) for name in names)


def batch(operations: Sequence[DocumentOperation]) -> str:
    """Operations, each document once, as the parameter of `Statements.write`."""
    written = [
        _OPERATION
        % (one.id, one.routing or _NULL, one.version, _NULL if one.body is None else one.body)
        for one in operations
    ]
    return (b"[%b]" % b",".join(written)).decode()
