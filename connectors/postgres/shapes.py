"""The shapes of tables: what documents depend on that changes in the catalog, and not in rows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cdc_daemon.events import ColumnShape, Part, Shape
from connectors.postgres.history import require_server
from connectors.postgres.session import connect, mapped_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from connectors.postgres.session import Connection
    from connectors.postgres.timelines import Timeline

# One statement, so one snapshot. It locks no table that has rows, but for a look at the size of
# partitions that no VACUUM has seen yet; `xmin` is the transaction that wrote the line. A partition
# whose concurrent detaching has begun has no rows of the table any more.
_SHAPES: Final = """
with recursive wanted as (
  select c.oid, n.nspname || '.' || c.relname as name, c.relkind, c.relpersistence, c.relreplident,
         c.relfilenode
  from unnest(%(schemas)s::text[], %(names)s::text[]) as asked (schema, name)
  join pg_catalog.pg_namespace n on n.nspname = asked.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = asked.name
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
), tree (root, oid, attached) as (
  select oid, oid, '' from wanted where relkind = 'p'
  union all
  select tree.root, i.inhrelid, concat_ws(' ', nullif(tree.attached, ''), i.xmin)
  from tree join pg_catalog.pg_inherits i on i.inhparent = tree.oid
  where not i.inhdetachpending
), leaves as (
  select tree.root, tree.attached, c.oid, c.relfilenode, c.relreplident,
         case when c.relkind = 'r' and c.relpages = 0 then pg_catalog.pg_relation_size(c.oid) = 0
              else false end as empty
  from tree join pg_catalog.pg_class c on c.oid = tree.oid where c.relkind <> 'p'
), filled (root, name) as (
  select distinct leaves.root, p.attname
  from leaves join pg_catalog.pg_attribute p on p.attrelid = leaves.oid
  where p.attnum > 0 and p.atthasmissing
), columns as (
  select a.*, a.xmin::text as version from wanted
  join pg_catalog.pg_attribute a on a.attrelid = wanted.oid
  where a.attnum > 0 and not a.attisdropped
), types (root, oid) as (
  select distinct atttypid, atttypid from columns
  union
  select types.root, inner_type.oid
  from types join pg_catalog.pg_type t on t.oid = types.oid
  cross join lateral (
    select t.typelem union all select t.typbasetype
    union all select rngsubtype from pg_catalog.pg_range where rngtypid = t.oid
    union all select rngtypid from pg_catalog.pg_range r
      where t.typtype = 'm' and (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid = t.oid
    union all select atttypid from pg_catalog.pg_attribute
      where t.typtype = 'c' and attrelid = t.typrelid and attnum > 0 and not attisdropped
  ) as inner_type (oid) where inner_type.oid <> 0
), meanings as (
  select types.root, string_agg(concat_ws(' ', t.oid, t.typelem, t.typbasetype, t.typtypmod,
      (select string_agg(concat_ws(' ', enumlabel, xmin), ',' order by enumsortorder)
       from pg_catalog.pg_enum where enumtypid = t.oid),
      (select string_agg(concat_ws(' ', attname, attnum, atttypid, atttypmod, xmin), ','
                         order by attnum)
       from pg_catalog.pg_attribute
       where t.typtype = 'c' and attrelid = t.typrelid and attnum > 0 and not attisdropped)
    ), ';' order by t.oid) as meaning
  from types join pg_catalog.pg_type t on t.oid = types.oid group by types.root
)
select wanted.name, wanted.oid::text,
  concat_ws(' ', wanted.relkind, wanted.relpersistence, wanted.relreplident,
    (select string_agg(concat_ws(' ', i.indisprimary, i.indimmediate, i.indkey), ','
                       order by i.indisprimary, i.indkey::text)
     from pg_catalog.pg_index i where i.indrelid = wanted.oid
       and (i.indisprimary or i.indisreplident and wanted.relreplident = 'i')),
    (select string_agg(distinct relreplident::text, '') from leaves where root = wanted.oid)),
  (select jsonb_object_agg(c.attname, jsonb_build_array(
      c.attnum, concat_ws(' ', meanings.meaning, nullif(c.attgenerated, ''),
        (select adbin::text from pg_catalog.pg_attrdef
         where c.attgenerated <> '' and adrelid = c.attrelid and adnum = c.attnum),
        (select 'nondeterministic' from pg_catalog.pg_collation
         where oid = c.attcollation and not collisdeterministic)),
      c.version,
      not c.atthasmissing and (wanted.oid, c.attname) not in (select root, name from filled)))
   from columns c join meanings on meanings.root = c.atttypid where c.attrelid = wanted.oid),
  wanted.relfilenode::text,
  (select jsonb_object_agg(leaves.oid,
     jsonb_build_array(leaves.relfilenode::text, leaves.empty, leaves.attached))
   from leaves where leaves.root = wanted.oid)
from wanted
"""

_SESSION: Final = "set statement_timeout = '5s'; set jit = off"
"""A partition that is being rewritten is waited for no longer: the next look comes soon. Compiling
the statement takes twenty times as long as running it."""


class PostgresShapeReader:
    """A `ShapeReader`: one thread owns it; it connects again by itself."""

    def __init__(
        self,
        dsn: str,
        name: str,
        timeline: Callable[[], Timeline | None],
        is_standby: Callable[[], bool | None] = lambda: False,
    ) -> None:
        self._dsn = dsn
        self._name = name
        self._timeline = timeline
        """What the source is in, as it knows by now."""
        self._is_standby = is_standby
        """Whether that is one; None where it may be, and nobody has looked yet."""
        self._connection: Connection | None = None
        self._connected_in: Timeline | None = None

    def read(self, tables: Sequence[str]) -> dict[str, Shape]:
        """What each table looks like now, by `schema.name`; those that aren't there are left out.

        Raises RetryError when the server can't be reached, or isn't the one that is followed.
        """
        return read_shapes(self._connected(), tables)

    def _connected(self) -> Connection:
        timeline = self._timeline()
        if timeline != self._connected_in:
            self.close()  # it may go to the server from before a failover
        if self._connection is None or self._connection.closed:
            connection = connect(self._dsn, name=self._name)
            try:
                require_server(connection, timeline, is_standby=self._is_standby())
                with mapped_errors("set up a session"):
                    connection.execute(_SESSION)
            except BaseException:
                connection.close()
                raise
            self._connection, self._connected_in = connection, timeline
        return self._connection

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def read_shapes(connection: Connection, tables: Iterable[str]) -> dict[str, Shape]:
    """The shapes of `tables` (`schema.name`, or `name` in public)."""
    places = [_place(table) for table in tables]
    asked = {"schemas": [place[0] for place in places], "names": [place[1] for place in places]}
    with mapped_errors("read the catalog"):
        lines = connection.execute(_SHAPES, asked).fetchall()
    return {line[0]: _shape(*line[1:]) for line in lines}


def _place(table: str) -> tuple[str, str]:
    schema, _, name = table.rpartition(".")
    return schema or "public", name


def _shape(
    table: str,
    key: str,
    columns: dict[str, tuple[int, str, str, bool]] | None,
    file: str,
    parts: dict[str, tuple[str, bool, str]] | None,
) -> Shape:
    return Shape(
        table,
        key,
        {
            name: ColumnShape(place, _digest(meaning), version, plain)
            for name, (place, meaning, version, plain) in (columns or {}).items()
        },
        file,
        {oid: Part(*part) for oid, part in (parts or {}).items()},
    )


def _digest(meaning: str) -> str:
    return hashlib.sha256(meaning.encode()).hexdigest()[:16]
