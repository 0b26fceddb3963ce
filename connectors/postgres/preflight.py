"""What can be known to fail beforehand: checked before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from cdc_daemon.errors import SourceError
from connectors.postgres.catalog import Table, list_tables
from connectors.postgres.session import mapped_errors
from connectors.postgres.slots import find_slot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.session import Connection

OLDEST_VERSION: Final = 140000
"""pgoutput and snapshots as this connector uses them; tested from 15 on."""

_SERVER: Final = """
select current_setting('server_version_num')::int, current_setting('wal_level'),
       current_setting('max_replication_slots')::int,
       (select count(*) from pg_catalog.pg_replication_slots)::int,
       r.rolreplication or r.rolsuper, current_user::text, current_setting('server_encoding')
from pg_catalog.pg_roles r where r.rolname = current_user
"""
_MAY_SELECT: Final = """
select has_table_privilege(c.oid, 'select')
       or (select bool_and(has_column_privilege(c.oid, a.attnum, 'select'))
           from pg_catalog.pg_attribute a
           where a.attrelid = c.oid and a.attname = any(%(columns)s)),
       has_schema_privilege(c.relnamespace, 'usage'), row_security_active(c.oid)
from pg_catalog.pg_class c where c.oid = %(oid)s
"""


def check_source(connection: Connection, relations: Sequence[Relation], slot: str) -> None:
    """Raise SourceError with every reason why `relations` can't be followed, and what mends it."""
    tables = {(table.schema, table.name): table for table in list_tables(connection)}
    reasons = list(_server_reasons(connection, slot))
    for relation in relations:
        table = tables.get((relation.schema, relation.name))
        if table is not None:
            reasons.extend(_table_reasons(relation, table))
            reasons.extend(_privilege_reasons(connection, relation, table))
    if reasons:
        raise SourceError("\n".join(reasons))


def _server_reasons(connection: Connection, slot: str) -> Iterator[str]:
    with mapped_errors("read the server's settings"):
        found = connection.execute(_SERVER).fetchone()
    if found is None:
        return
    version, wal_level, most_slots, slots, may_replicate, user, encoding = found
    role = sql.Identifier(user).as_string(connection)
    if version < OLDEST_VERSION:
        yield f"PostgreSQL {version // 10000} is too old: 14 or later is needed"
    if wal_level != "logical":
        yield (
            f"wal_level is {wal_level}, and must be logical. Run: alter system set wal_level = "
            "'logical'; and restart the server"
        )
    if not may_replicate:
        yield f"the role {user} may not replicate. Run: alter role {role} replication"
    if encoding != "UTF8":
        yield f"the database is encoded in {encoding}; only UTF8 databases can be followed"
    if slots >= most_slots and find_slot(connection, slot) is None:
        yield (
            f"all {most_slots} replication slots are taken (see pg_replication_slots). "
            f"Drop one, or run: alter system set max_replication_slots = {most_slots + 4}; and "
            "restart the server"
        )


def _table_reasons(relation: Relation, table: Table) -> Iterator[str]:
    name = relation.qualified_name
    if relation.kind not in {"table", "partitioned"}:
        yield f"{name} is a {relation.kind}: only tables can be followed; map the tables under it"
    elif table.identity != "full" and not table.identity_columns:
        yield (
            f"table {name} has no usable replica identity ({_why_unusable(table)}): once "
            "published, its UPDATE and DELETE would fail. Give it a primary key, or run: "
            f"alter table {name} replica identity full"
        )
    if generated := [column.name for column in relation.columns if column.generated]:
        yield (
            f"table {name}: generated columns are not streamed, so {', '.join(generated)} can't be "
            "mapped. Map an expression over the columns it is made of instead"
        )


def _why_unusable(table: Table) -> str:
    if table.identity == "nothing":
        return "replica identity nothing"
    if table.identity == "index":
        return "its index was dropped"
    return "the primary key is deferrable" if table.primary_key else "no primary key"


def _privilege_reasons(connection: Connection, relation: Relation, table: Table) -> Iterator[str]:
    columns = [column.name for column in relation.columns]
    with mapped_errors("read privileges"):
        found = connection.execute(_MAY_SELECT, {"oid": table.oid, "columns": columns}).fetchone()
    if found is None:
        return
    may_select, may_use, hides_rows = found
    role = "the role of source.dsn"
    if not may_use:
        yield (
            f"{role} may not use schema {relation.schema}. "
            f"Run: grant usage on schema {relation.schema} to <role>"
        )
    if not may_select:
        yield (
            f"{role} may not read table {relation.qualified_name}. Run: "
            f"grant select on {relation.qualified_name} to <role>"
        )
    if hides_rows:
        yield (
            f"row security on {relation.qualified_name} would hide rows from {role}: documents "
            "would be missing. Run: alter role <role> bypassrls"
        )
