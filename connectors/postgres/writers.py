"""Wait for the transactions that had written a table before the publication held it.

The stream shows a change if the table was published when it was made. Of a transaction that was
open when the table came into the publication, it shows what was done later and never what was done
before; so the rows are read once all of these have ended. Nobody waits for us meanwhile: the locks
that a writer holds until its end are only looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from cdc_daemon.errors import RetryError
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.events import Relation
    from connectors.postgres.session import Connection

# A transaction is known by its number: it keeps it when it is prepared, also over a restart of the
# server. One that has none yet has written nothing. pg_locks is looked at once, or a transaction
# that is prepared in between would show as neither of the two.
_LOCKS: Final = """
with tables as (
  select to_regclass(%(table)s)::oid as oid
  union select relid::oid from pg_catalog.pg_partition_tree(to_regclass(%(table)s))
), locks as materialized (
  select * from pg_catalog.pg_locks where granted
)
select xid.transactionid::text, xid.pid,
       exists (select from locks w
               where w.locktype = 'relation' and w.mode = 'RowExclusiveLock'
                 and w.relation in (select oid from tables)
                 and w.database = (select oid from pg_catalog.pg_database
                                   where datname = current_database())
                 and w.virtualtransaction = xid.virtualtransaction)
from locks xid where xid.locktype = 'transactionid' and xid.mode = 'ExclusiveLock'
"""
_PREPARED: Final = """
select transaction::text, gid from pg_catalog.pg_prepared_xacts
where transaction::text = any(%s)
"""


class Writers:
    """Asked again and again; what begins after the first question is waited for by nobody."""

    def __init__(self) -> None:
        self._waited_for: dict[str, frozenset[str]] = {}
        """By table: the numbers of the transactions."""

    def require_ended(self, connection: Connection, relation: Relation) -> None:
        """Raise RetryError while a transaction is open that had written the table by then."""
        table = sql.Identifier(relation.schema, relation.name).as_string(connection)
        with mapped_errors("look for transactions that write a table"):
            found = connection.execute(_LOCKS, {"table": table}).fetchall()
        open_now = {xid: pid for xid, pid, _ in found}
        writing = frozenset(xid for xid, _, writes in found if writes)
        left = self._waited_for.get(table, writing) & open_now.keys()
        self._waited_for[table] = left
        if left:
            raise RetryError(
                f"{len(left)} open transactions had written table {relation.qualified_name} before "
                "the publication held it, and the stream lacks what they did until then: its rows "
                f"are read once they have ended: {_named(connection, left, open_now)}. To end one: "
                "select pg_terminate_backend(pid), or rollback prepared 'gid'",
                reason="writers",
            )


def _named(connection: Connection, xids: frozenset[str], pids: Mapping[str, int | None]) -> str:
    with mapped_errors("read prepared transactions"):
        prepared: dict[str, str] = dict(connection.execute(_PREPARED, [list(xids)]).fetchall())
    named = {xid: f"prepared '{gid}'" for xid, gid in prepared.items()}
    return ", ".join(sorted({named.get(xid, f"pid {pids[xid]}") for xid in xids}))
