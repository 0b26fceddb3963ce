"""Tables that inherit from a mapped one: their rows are not its own, though `select` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.session import Connection

log = structlog.get_logger(__name__)

# Partitions inherit as well, and are followed as parts of their table: its kind is another one.
_CHILDREN: Final = """
with recursive tree (root, oid) as (
  select c.oid, c.oid
  from unnest(%(schemas)s::text[], %(names)s::text[]) as asked (schema, name)
  join pg_catalog.pg_namespace n on n.nspname = asked.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = asked.name
  where c.relkind = 'r' and c.relhassubclass
  union
  select tree.root, i.inhrelid from tree join pg_catalog.pg_inherits i on i.inhparent = tree.oid
)
select n.nspname || '.' || c.relname,
       array_agg(format('%%I.%%I', m.nspname, d.relname) order by m.nspname, d.relname)
from tree
join pg_catalog.pg_class c on c.oid = tree.root
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class d on d.oid = tree.oid
join pg_catalog.pg_namespace m on m.oid = d.relnamespace
where tree.oid <> tree.root
group by 1 order by 1
"""


def children(connection: Connection, relations: Sequence[Relation]) -> dict[str, list[str]]:
    """The tables, as SQL names them, that inherit from each of `relations`, near or far."""
    asked = {
        "schemas": [relation.schema for relation in relations],
        "names": [relation.name for relation in relations],
    }
    with mapped_errors("read which tables inherit"):
        return dict(connection.execute(_CHILDREN, asked).fetchall())


def left_out(tables: Sequence[str]) -> str:
    """What that means, for people."""
    return (
        f"{', '.join(tables)} inherit from it, and are tables of their own: their rows are in no "
        "read model of this table, though `select` from it shows them. Map each of them as well, "
        "or make it a partitioned table"
    )


def warn_of_children(connection: Connection, relations: Sequence[Relation]) -> None:
    """Say it in the log, table by table."""
    for table, tables in children(connection, relations).items():
        log.warning("children_left_out", table=table, children=tables, why=left_out(tables))
