"""Whether a publication leaves out generated columns that must be in it, from PostgreSQL 18 on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from connectors.postgres.catalog import table_oids
from connectors.postgres.generated import STREAMED_VERSION
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.session import Connection

# A table of which an identity holds a column that isn't published: its UPDATE and DELETE fail.
_LEAVES_OUT: Final = """
select exists (
  select from unnest(%(oids)s::oid[]) root
  cross join lateral (select root as oid union select relid from pg_partition_tree(root)) t
  join pg_catalog.pg_class c on c.oid = t.oid
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attgenerated::text = 's'
  where not a.attisdropped and (c.relreplident = 'f' or exists (
    select from pg_catalog.pg_index i
    where i.indrelid = c.oid and a.attnum = any(i.indkey)
      and (i.indisreplident or (c.relreplident = 'd' and i.indisprimary)))))
from pg_catalog.pg_publication where pubname = %(name)s and pubgencols <> 's'
"""


def lacks_generated(
    connection: Connection, publication: str, relations: Sequence[Relation]
) -> Literal["values", "identities"] | None:
    """What is missing because the publication leaves stored generated columns out.

    None where nothing is, as before PostgreSQL 18, which published none of them.
    """
    if connection.info.server_version < STREAMED_VERSION:
        return None
    oids = list(table_oids(connection, relations).values())
    with mapped_errors("read which generated columns are published"):
        found = connection.execute(_LEAVES_OUT, {"oids": oids, "name": publication}).fetchone()
    if found is None:
        return None
    if any(column.generated is not None for each in relations for column in each.columns):
        return "values"
    return "identities" if found[0] else None
