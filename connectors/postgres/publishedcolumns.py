"""Generated columns that a publication leaves out though they must be in it: PostgreSQL 18 on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import structlog
from psycopg import sql

from connectors.postgres.catalog import table_oids
from connectors.postgres.generated import STREAMED_VERSION
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.session import Connection

log = structlog.get_logger(__name__)

LATER: Final = (
    "generated columns that are added later will be left out of it: UPDATE and DELETE of the "
    "application will then fail on tables whose replica identity is full, and read models that "
    "show such a column will be loaded anew"
)
"""Why an option is missing that nothing needs yet."""

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
_MAY_ALTER: Final = """
select pg_has_role(pubowner, 'usage') from pg_catalog.pg_publication where pubname = %s
"""


def lacks_generated(
    connection: Connection, publication: str, relations: Sequence[Relation]
) -> Literal["values", "identities", "nothing yet"] | None:
    """What is missing because the publication leaves stored generated columns out.

    None where it doesn't, and before PostgreSQL 18, which published none of them.
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
    return "identities" if found[0] else "nothing yet"


def publish_generated(publication: str) -> sql.Composed:
    """What mends it."""
    return sql.SQL("alter publication {} set (publish_generated_columns = stored)").format(
        sql.Identifier(publication)
    )


def may_alter(connection: Connection, publication: str) -> bool:
    """Whether the role is, or belongs to, the owner of the publication."""
    with mapped_errors("read who owns the publication"):
        found = connection.execute(_MAY_ALTER, [publication]).fetchone()
    return found is not None and found[0]


def publish_later_ones(
    connection: Connection, publication: str, relations: Sequence[Relation], *, manage: bool
) -> None:
    """Have the publication hold columns that are generated later, or warn that it won't."""
    if lacks_generated(connection, publication, relations) != "nothing yet":
        return
    statement = publish_generated(publication)
    script = statement.as_string(connection)
    if not (manage and may_alter(connection, publication)):
        log.warning("publication_lacks_generated", publication=publication, why=LATER, sql=script)
        return
    with mapped_errors("alter the publication"):
        connection.execute(statement)
    log.info("publication_made", publication=publication, sql=script)
