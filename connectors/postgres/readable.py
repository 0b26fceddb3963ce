"""Whether the rows of a table, and of each of its partitions, are streamed and may be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import sql

from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.catalog import Table
    from connectors.postgres.session import Connection

# Rows are read by their places, partition by partition: so the rights that count are those on each.
# Whether there is a right is looked up as of now, and null where the table was dropped after the
# statement began, which still sees it. Of columns that aren't there nobody has one.
_RIGHTS: Final = """
select c.oid, has_schema_privilege(c.relnamespace, 'usage'),
       has_table_privilege(c.oid, 'select')
       or (select count(*) > 0 and bool_and(has_column_privilege(c.oid, a.attnum, 'select'))
           from pg_catalog.pg_attribute a
           where a.attrelid = c.oid and a.attname = any(%(columns)s)),
       case when c.relkind = 'r' then has_table_privilege(c.oid, 'select')
         or has_column_privilege(c.oid, 'ctid', 'select') else true end,
       row_security_active(c.oid), quote_ident(current_user)
from pg_catalog.pg_class c where c.oid = any(%(oids)s)
"""


class _Rights(NamedTuple):
    """What the role may do with a table; None where it was dropped just now."""

    may_use_schema: bool | None
    may_select: bool | None
    may_read_places: bool | None
    hides_rows: bool
    role: str


def kind_reasons(tables: Sequence[Table]) -> Iterator[str]:
    """Why changes of a table, or of its partitions, are not streamed at all."""
    for table in tables:
        name = f"{table.schema}.{table.name}"
        if table.kind == "foreign table" and table.is_partition:
            yield (
                f"partition {name} is a foreign table: its changes are not streamed. Map the other "
                "partitions one by one"
            )
        elif table.kind not in {"table", "partitioned"}:
            yield f"{name} is a {table.kind}: only tables can be followed; map the tables under it"
        elif table.unlogged:
            yield (
                f"table {name} is unlogged, so its changes are not streamed. "
                f"Run: alter table {name} set logged"
            )


def privilege_reasons(connection: Connection, relation: Relation, table: Table) -> Iterator[str]:
    """Why the role can't read the columns of `relation` from the table."""
    return _of_rights(connection, relation, (table,), by_places=False)


def reading_reasons(
    connection: Connection, relation: Relation, leaves: Sequence[Table]
) -> Iterator[str]:
    """Why a load of `relation` would fail, or miss rows: it reads them by places, leaf by leaf."""
    yield from kind_reasons(leaves)
    yield from _of_rights(connection, relation, leaves, by_places=True)


def _of_rights(
    connection: Connection, relation: Relation, tables: Sequence[Table], *, by_places: bool
) -> Iterator[str]:
    columns = [column.name for column in relation.columns]
    asked = {"oids": [table.oid for table in tables], "columns": columns}
    with mapped_errors("read privileges"):
        found = {oid: _Rights(*rights) for oid, *rights in connection.execute(_RIGHTS, asked)}
    reasons = (
        reason
        for table in tables
        if table.oid in found  # else it was dropped meanwhile
        for reason in _lacking(table, found[table.oid], by_places=by_places)
    )
    yield from dict.fromkeys(reasons)  # of a schema once


def _lacking(table: Table, rights: _Rights, *, by_places: bool) -> Iterator[str]:
    shown, role = f"{table.schema}.{table.name}", rights.role
    name = sql.Identifier(table.schema, table.name).as_string()
    if rights.may_use_schema is False:
        yield (
            f"the role {role} may not use schema {table.schema}. "
            f"Run: grant usage on schema {sql.Identifier(table.schema).as_string()} to {role}"
        )
    if rights.may_select is False:
        yield f"the role {role} may not read table {shown}. Run: grant select on {name} to {role}"
    elif by_places and rights.may_read_places is False:
        yield (
            f"the role {role} may read the mapped columns of table {shown}, but not the places of "
            f"its rows, by which they are read. Run: grant select (ctid) on {name} to {role}"
        )
    if rights.hides_rows:
        yield (
            f"row security on {shown} would hide rows from the role {role}: documents would be "
            f"missing. Run: alter role {role} bypassrls"
        )
