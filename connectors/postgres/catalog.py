"""Read the catalog: tables with their columns, types, keys and replica identity."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from cdc_daemon.errors import SourceError
from cdc_daemon.events import Column, Relation, ReplicaIdentity
from cdc_daemon.nearest import nearest
from connectors.postgres.catalog_types import load_types
from connectors.postgres.collations import nondeterministic
from connectors.postgres.generated import read_generated
from connectors.postgres.session import mapped_errors
from connectors.postgres.shapes import read_shapes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

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
       coalesce(pk.columns, '{}'), coalesce(pk.deferrable, false), coalesce(ri.columns, '{}'),
       c.relpersistence::text = 'u', c.relispartition, exists (
         select from pg_catalog.pg_attribute a
         where a.attrelid = c.oid and a.attgenerated::text = 'v' and not a.attisdropped),
       coalesce(uk.keys, '[]'), coalesce(uk.immediate, '[]')
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
left join lateral (
  select json_agg(key.columns order by key.oid) as keys,
         json_agg(key.columns order by key.oid) filter (where key.indimmediate) as immediate
  from (
    select i.indexrelid as oid, i.indimmediate,
           array_agg(a.attname::text order by k.place) as columns
    from pg_catalog.pg_index i
    cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, place)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = c.oid and i.indisunique and i.indisvalid and k.place <= i.indnkeyatts
      and i.indpred is null and i.indexprs is null
    group by i.indexrelid, i.indimmediate
  ) key
) uk on true
where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
"""

_PRIMARY_KEY: Final = """
select a.attname::text
from pg_catalog.pg_index i
cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, place)
join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indrelid = %s and i.indisprimary and k.place <= i.indnkeyatts
order by k.place
"""

_COLUMNS: Final = """
select attrelid, attname::text, atttypid, atttypmod, attnotnull, attstorage::text <> 'p',
       pg_catalog.format_type(atttypid, atttypmod)
from pg_catalog.pg_attribute
where attrelid = any(%s) and attnum > 0 and not attisdropped
order by attrelid, attnum
"""

_ORDER: Final = """
select attrelid, array_agg(
  case when attisdropped or attgenerated <> '' then '' else attname::text end order by attnum)
from pg_catalog.pg_attribute
where attrelid = any(%s) and attnum > 0
group by attrelid
"""

_STILL_THERE: Final = """
select count(*) from pg_catalog.pg_attribute
where attrelid = %s and attname = any(%s) and not attisdropped
"""

_PARTITIONS: Final = """
with recursive tree (root, oid) as (
  select root, root from unnest(%s::oid[]) as wanted (root)
  union all
  select tree.root, i.inhrelid
  from tree join pg_catalog.pg_inherits i on i.inhparent = tree.oid
  where not i.inhdetachpending
)
select root, oid from tree where root <> oid
"""


class Columns(NamedTuple):
    """Those of one table: in the rows that are streamed, and computed from them."""

    of_rows: list[Column]
    computed: list[Column]


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
    unlogged: bool = False
    is_partition: bool = False
    has_virtual_columns: bool = False
    unique_keys: tuple[tuple[str, ...], ...] = ()
    immediate_keys: tuple[tuple[str, ...], ...] = ()

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
    return [_table(line) for line in lines]


def _table(line: tuple[Any, ...]) -> Table:
    oid, schema, name, kind, identity, key, deferrable, index, *flags, keys, immediate = line
    unlogged, is_partition, has_virtual_columns = flags
    return Table(
        oid=oid,
        schema=schema,
        name=name,
        kind=_KINDS[kind],
        identity=_IDENTITIES[identity],
        primary_key=tuple(key),
        primary_key_deferrable=deferrable,
        identity_index=tuple(index),
        unlogged=unlogged,
        is_partition=is_partition,
        has_virtual_columns=has_virtual_columns,
        unique_keys=tuple(map(tuple, keys)),
        immediate_keys=tuple(map(tuple, immediate)),
    )


def describe(
    connection: Connection,
    requests: Sequence[TableRequest],
    formerly: Mapping[str, int] = MappingProxyType({}),
) -> list[Relation]:
    """The relations that are asked for, in that order, with the columns asked for.

    `formerly`: which table had a name until now. Raises SourceError naming every missing table and
    column, with its new or the nearest valid name.
    """
    tables = list_tables(connection)
    known = {f"{table.schema}.{table.name}": table for table in tables}
    found: list[Table] = []
    mistakes: list[str] = []
    for request in requests:
        table = known.get(request.name) or known.get(f"public.{request.name}")
        if table is None:
            oid = formerly.get(request.name) or formerly.get(f"public.{request.name}")
            hint = _new_name(oid, tables) or _nearest_table(request, known)
            mistakes.append(f"table {request.name} does not exist{hint}")
        else:
            found.append(table)
    if mistakes:
        raise SourceError("; ".join(mistakes))
    leaves = leaf_partitions(connection, found, tables)
    found = [_with_effective_identity(table, leaves.get(table.oid, [])) for table in found]
    columns = _columns(connection, found, leaves)
    orders = column_orders(connection, [table.oid for table in found])
    relations = []
    for request, table in zip(requests, found, strict=True):
        of_rows, computed = columns[table.oid]
        wanted = _wanted(request, of_rows, mistakes)
        relations.append(
            Relation(
                *(table.schema, table.name, wanted, table.primary_key, table.identity, table.kind),
                unique_keys=table.unique_keys,
                immediate_keys=table.immediate_keys,
                known=frozenset(column.name for column in (*of_rows, *computed)),
                order=orders.get(table.oid, ()),
                computed=tuple(computed),
            )
        )
    if mistakes:
        raise SourceError("; ".join(mistakes))
    return relations


def _wanted(
    request: TableRequest, columns: Sequence[Column], mistakes: list[str]
) -> tuple[Column, ...]:
    if request.columns is None:
        return tuple(columns)
    names = [column.name for column in columns]
    mistakes.extend(
        f"table {request.name} has no column {name}{_nearest(name, names)}"
        for name in request.columns
        if name not in names
    )
    return tuple(column for column in columns if column.name in request.columns)


def _columns(
    connection: Connection, tables: Sequence[Table], leaves: Mapping[int, Sequence[Table]]
) -> dict[int, Columns]:
    by_oid = {table.oid: table for table in tables}
    with mapped_errors("read the catalog"):
        lines = connection.execute(_COLUMNS, [list(by_oid)]).fetchall()
        types = load_types(connection, {line[2] for line in lines})
        unlike_text = nondeterministic(connection, list(by_oid))
    parts = {oid: [leaf.oid for leaf in leaves.get(oid, ())] for oid in by_oid}
    made = read_generated(connection, parts)
    shapes = read_shapes(connection, [f"{each.schema}.{each.name}" for each in tables])
    plain = {int(shape.table): shape.columns for shape in shapes.values()}
    found = {oid: Columns([], []) for oid in by_oid}
    for oid, name, type_oid, modifier, not_null, out_of_line, declared in lines:
        making = made.get((oid, name))
        is_sent = making is None or making.is_streamed
        in_identity = by_oid[oid].identity == "full" or name in by_oid[oid].identity_columns
        column = Column(
            name,
            replace(types[type_oid], oid=type_oid, modifier=modifier, declared=declared),
            nullable=not not_null,
            in_identity=is_sent and in_identity,
            out_of_line=out_of_line,
            generated=None if making is None else making.how,
            plain=name in plain.get(oid, {}) and plain[oid][name].plain,
            equal_by_text=(oid, name) not in unlike_text,
        )
        (found[oid].of_rows if is_sent else found[oid].computed).append(column)
    return found


def column_orders(connection: Connection, oids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """`Relation.order` of each table."""
    with mapped_errors("read the catalog"):
        lines = connection.execute(_ORDER, [list(oids)]).fetchall()
    return {oid: tuple(names) for oid, names in lines}


def primary_key(connection: Connection, oid: int) -> tuple[str, ...]:
    """Of a table, as it is now; empty where it has none."""
    with mapped_errors("read the catalog"):
        found = connection.execute(_PRIMARY_KEY, [oid]).fetchall()
    return tuple(name for (name,) in found)


def table_oids(connection: Connection, relations: Sequence[Relation]) -> dict[Relation, int]:
    """Which table each relation is now; those that are gone are left out."""
    oids = {(table.schema, table.name): table.oid for table in list_tables(connection)}
    found = {relation: oids.get((relation.schema, relation.name)) for relation in relations}
    return {relation: oid for relation, oid in found.items() if oid is not None}


def has_columns(connection: Connection, oid: int, names: Collection[str]) -> bool:
    """Whether a table still has all of these columns."""
    with mapped_errors("read the catalog"):
        found = connection.execute(_STILL_THERE, [oid, list(names)]).fetchone()
    return found is not None and found[0] == len(names)


def leaf_partitions(
    connection: Connection, wanted: Sequence[Table], tables: Sequence[Table]
) -> dict[int, list[Table]]:
    """The partitions that hold the rows of each partitioned table in `wanted`, by its oid."""
    roots = [table.oid for table in wanted if table.kind == "partitioned"]
    if not roots:
        return {}
    with mapped_errors("read the partitions"):
        lines = connection.execute(_PARTITIONS, [roots]).fetchall()
    by_oid = {table.oid: table for table in tables}
    leaves: dict[int, list[Table]] = {root: [] for root in roots}
    for root, oid in lines:
        if oid in by_oid and by_oid[oid].kind != "partitioned":
            leaves[root].append(by_oid[oid])
    return leaves


def _with_effective_identity(table: Table, leaves: Sequence[Table]) -> Table:
    """What is sent of old rows is up to each partition: what all of them send."""
    if not leaves:
        return table
    if all(leaf.identity == "full" for leaf in leaves):
        return table._replace(identity="full")
    keys = [set(leaf.identity_columns) for leaf in leaves if leaf.identity != "full"]
    shared = set.intersection(*keys)
    if table.identity != "full" and set(table.identity_columns) == shared:
        return table
    return table._replace(identity="index", identity_index=tuple(sorted(shared)))


def _nearest(name: str, names: Iterable[str]) -> str:
    close = nearest(name, names)
    return f"; did you mean {close}?" if close else ""


def _new_name(oid: int | None, tables: Sequence[Table]) -> str:
    """Where a table of that number is now."""
    new = next((f"{table.schema}.{table.name}" for table in tables if table.oid == oid), None)
    if new is None:
        return ""
    return (
        f": it is called {new} now. Write that into `from` and start again; the read model is "
        "loaded anew"
    )


def _nearest_table(request: TableRequest, known: Mapping[str, Table]) -> str:
    """By its whole name, or (the schema is wrong or missing) by its own."""
    public_last = sorted(known.items(), key=lambda entry: entry[1].schema == "public")
    bare = {table.name.casefold(): full for full, table in public_last}
    own = request.name.rpartition(".")[2].casefold()
    same = bare.get(own) or bare.get(nearest(own, bare, cutoff=0.75) or "")
    close = nearest(request.name, known, cutoff=0.8) or same or nearest(request.name, known)
    return f"; did you mean {close}?" if close else ""
