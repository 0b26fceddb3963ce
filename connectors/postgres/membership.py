"""How each table belongs to the publication, as text: another text means that changes may lack.

A table that was taken out of the publication and put in again is in it as before, and what changed
in between is in no stream: the catalog tells by the numbers of the rows that make it a member. So
it is where the publication was altered to leave out deletes, say, and altered back: its own row is
another version then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connectors.postgres.catalog import table_oids
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.session import Connection

SCHEMAS_VERSION: Final = 150000
"""From here on a publication can hold all tables of a schema."""

_OF_SCHEMA: Final = """(
  select s.oid from pg_catalog.pg_publication_namespace s
  where s.pnpubid = p.oid and s.pnnspid = c.relnamespace
)"""
# The table's own number, too: a publication of all tables says nothing when one is made anew. Each
# ALTER of the options makes a new version of the publication's row (xmin), as do another name and
# another owner; VACUUM, also FREEZE and FULL, does not, nor do tables that come and go.
# It is asked for once a second, so only the lines of these tables are looked at.
_MEMBERSHIPS: Final = """
select n.nspname || '.' || c.relname,
       concat_ws('/', p.oid, coalesce(r.oid, {of_schema}, 0), c.oid, p.xmin)
from unnest(%(schemas)s::text[], %(names)s::text[]) as asked (schema, name)
join pg_catalog.pg_namespace n on n.nspname = asked.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = asked.name
join pg_catalog.pg_publication p on p.pubname = %(publication)s
left join pg_catalog.pg_publication_rel r on r.prpubid = p.oid and r.prrelid = c.oid
where c.relkind in ('r', 'p', 'v', 'm', 'f')
"""

_UNMAPPED: Final = """
select format('%%I.%%I', n.nspname, c.relname)
from pg_catalog.pg_publication_rel r
join pg_catalog.pg_publication p on p.oid = r.prpubid
join pg_catalog.pg_class c on c.oid = r.prrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where p.pubname = %s and c.oid <> all(%s)
order by 1
"""


def memberships(
    connection: Connection, publication: str, relations: Sequence[Relation]
) -> dict[str, str]:
    """How each of `relations`, by its qualified name, is a member of the publication."""
    asked = {
        "publication": publication,
        "schemas": [relation.schema for relation in relations],
        "names": [relation.name for relation in relations],
    }
    has_schemas = connection.info.server_version >= SCHEMAS_VERSION
    query = _MEMBERSHIPS.format(of_schema=_OF_SCHEMA if has_schemas else "null")
    with mapped_errors("read the members of the publication"):
        return dict(connection.execute(query.encode(), asked).fetchall())


def unmapped_members(
    connection: Connection, publication: str, relations: Sequence[Relation]
) -> list[str]:
    """The tables, as SQL names them, that the publication holds beside `relations`."""
    oids = list(table_oids(connection, relations).values())
    with mapped_errors("read the members of the publication"):
        lines = connection.execute(_UNMAPPED, [publication, oids]).fetchall()
    return [name for (name,) in lines]
