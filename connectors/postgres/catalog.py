"""Read the catalog: tables with their columns, types, keys and replica identity."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from cdc_daemon.errors import SourceError
from cdc_daemon.events import Column, Relation, ReplicaIdentity
from connectors.postgres.catalog_types import load_types
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.ports import TableRequest
    from connectors.postgres.session import Connection

_KINDS: Final[dict[str, Any]] = {
    "r": "table",
    "p": "partitioned",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}
_IDENTITIES: Final[dict[str, ReplicaIdentity]] = {
    "d": "default",
    "f": "full",
    "i": "index",
    "n": "nothing",
}

_TABLES: Final = """
select c.oid, n.nspname, c.relname, c.relkind::text, c.relreplident::text,
       coalesce(pk.columns, '{}'), coalesce(pk.deferrable, false), coalesce(ri.columns, '{}')
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join lateral (
  select array_agg(a.attname::text order by k.place) as columns,
         bool_or(not i.indimmediate) as deferrable
  from pg_catalog.pg_index i
  cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, place)
  join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
  where i.indrelid = c.oid and i.indisprimary and k.place <= i.indnkeyatts
) pk on true
left join lateral (
  select array_agg(a.attname::text) as columns
  from pg_catalog.pg_index i
  cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, place)
  join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
  where i.indrelid = c.oid and i.indisreplident and k.place <= i.indnkeyatts
) ri on true
where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
"""

_COLUMNS: Final = """
select attrelid, attname::text, atttypid, atttypmod, attnotnull, attstorage::text <> 'p',
       attgenerated::text <> '', pg_catalog.format_type(atttypid, atttypmod)
from pg_catalog.pg_attribute
where attrelid = any(%s) and attnum > 0 and not attisdropped
order by attrelid, attnum
"""


class Table(NamedTuple):
    """One line of the catalog's list of tables."""

    oid: int
    schema: str
    name: str
    kind: Literal["table", "partitioned", "view", "materialized view", "foreign table"]
    identity: ReplicaIdentity
    primary_key: tuple[str, ...]
    primary_key_deferrable: bool
    identity_index: tuple[str, ...]

    @property
    def identity_columns(self) -> tuple[str, ...]:
        """The columns that the server sends as the old key; empty if it can send none."""
        if self.identity == "default":
            return () if self.primary_key_deferrable else self.primary_key
        return self.identity_index if self.identity == "index" else ()


def list_tables(connection: Connection) -> list[Table]:
    """All tables and views outside the system schemas."""
    with mapped_errors("read the catalog"):
        lines = connection.execute(_TABLES).fetchall()
    return [
        Table(
            oid,
            schema,
            name,
            _KINDS[kind],
            _IDENTITIES[identity],
            tuple(key),
            deferrable,
            tuple(index),
        )
        for oid, schema, name, kind, identity, key, deferrable, index in lines
    ]


def describe(connection: Connection, requests: Sequence[TableRequest]) -> list[Relation]:
    """The relations that are asked for, in that order, with the columns asked for.

    Raises SourceError naming every missing table and column, with the nearest valid name.
    """
    known = {f"{table.schema}.{table.name}": table for table in list_tables(connection)}
    found: list[Table] = []
    mistakes: list[str] = []
    for request in requests:
        table = known.get(request.name) or known.get(f"public.{request.name}")
        if table is None:
            mistakes.append(f"table {request.name} does not exist{_nearest(request.name, known)}")
        else:
            found.append(table)
    if mistakes:
        raise SourceError("; ".join(mistakes))
    columns = _columns(connection, found)
    relations = []
    for request, table in zip(requests, found, strict=True):
        wanted = _wanted(request, columns[table.oid], mistakes)
        relations.append(
            Relation(
                table.schema, table.name, wanted, table.primary_key, table.identity, table.kind
            )
        )
    if mistakes:
        raise SourceError("; ".join(mistakes))
    return relations


def _wanted(
    request: TableRequest, columns: tuple[Column, ...], mistakes: list[str]
) -> tuple[Column, ...]:
    if request.columns is None:
        return columns
    names = [column.name for column in columns]
    mistakes.extend(
        f"table {request.name} has no column {name}{_nearest(name, names)}"
        for name in request.columns
        if name not in names
    )
    return tuple(column for column in columns if column.name in request.columns)


def _columns(connection: Connection, tables: Sequence[Table]) -> dict[int, tuple[Column, ...]]:
    by_oid = {table.oid: table for table in tables}
    with mapped_errors("read the catalog"):
        lines = connection.execute(_COLUMNS, [list(by_oid)]).fetchall()
        types = load_types(connection, {line[2] for line in lines})
    grouped: dict[int, list[Column]] = {oid: [] for oid in by_oid}
    for oid, name, type_oid, modifier, not_null, out_of_line, generated, declared in lines:
        grouped[oid].append(
            Column(
                name,
                replace(types[type_oid], oid=type_oid, modifier=modifier, declared=declared),
                nullable=not not_null,
                in_identity=by_oid[oid].identity == "full" or name in by_oid[oid].identity_columns,
                out_of_line=out_of_line,
                generated=generated,
            )
        )
    return {oid: tuple(columns) for oid, columns in grouped.items()}


def _nearest(name: str, names: object) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)  # type: ignore[call-overload]
    return f"; did you mean {close[0]}?" if close else ""
