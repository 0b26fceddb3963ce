"""Whether the daemon's role may read and clean an outbox that somebody else has installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connectors.outbox.objects import reader_rights
from connectors.postgres.database import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.outbox.installing import Installed
    from connectors.postgres.database import Connection

_MAY_READ: Final = """
select quote_ident(current_user), has_schema_privilege(n.oid, 'usage') and bool_and(
  has_table_privilege(c.oid, 'select') and (c.relkind = 'S'
    or case c.relname when 'read'
       then has_table_privilege(c.oid, 'insert') and has_table_privilege(c.oid, 'delete')
       else has_table_privilege(c.oid, 'truncate') end))
from pg_catalog.pg_namespace n join pg_catalog.pg_class c on c.relnamespace = n.oid
where n.nspname = %s and c.relkind in ('r', 'p', 'S') and c.relname ~ '^(read|change(_id|_[0-9])?)$'
group by n.oid
"""


def rights_reasons(connection: Connection, installed: Installed) -> Iterator[str]:
    """Why the role can't follow the outbox, if there is one, and the SQL that mends it."""
    if not installed.is_there:
        return
    with mapped_errors("look at the rights on the outbox"):
        [(role, may_read)] = connection.execute(_MAY_READ, [installed.schema]).fetchall()
    if not may_read:
        statements = " ".join(reader_rights(installed.schema, role).split())
        yield (
            f"the role {role} may not read the outbox in schema {installed.schema}, or not clean "
            f"it. Run as its owner: {statements}"
        )
