"""Rights on a view, which are kept where it must be made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connectors.postgres.session import Connection

_GRANTS: Final = """
select r.rolname::text, g.privilege_type, g.is_grantable, g.column_name from (
  select c.relowner, a.*, null as column_name
  from pg_catalog.pg_class c, lateral aclexplode(c.relacl) a where c.oid = %(oid)s
  union all
  select c.relowner, a.*, t.attname::text
  from pg_catalog.pg_class c join pg_catalog.pg_attribute t on t.attrelid = c.oid,
    lateral aclexplode(t.attacl) a
  where c.oid = %(oid)s and not t.attisdropped
) g left join pg_catalog.pg_roles r on r.oid = g.grantee
where g.grantee <> g.relowner
"""


class Grant(NamedTuple):
    """A right that somebody has."""

    role: str | None
    """None: everybody."""
    privilege: str
    is_grantable: bool
    column: str | None
    """None: on all of the view."""


def grants_on(connection: Connection, oid: int) -> list[Grant]:
    """The rights on a view, or on single columns of it, but for those of its owner."""
    return [Grant(*found) for found in connection.execute(_GRANTS, {"oid": oid})]


def grant_again(
    connection: Connection, view: sql.Identifier, grants: Iterable[Grant], columns: Iterable[str]
) -> None:
    """Give them on the view that is there now, which has these columns: others are gone."""
    there = {None, *columns}
    for grant in grants:
        if grant.column in there:
            connection.execute(_statement(view, grant))


def _statement(view: sql.Identifier, grant: Grant) -> sql.Composed:
    columns = [] if grant.column is None else [grant.column]
    return sql.SQL("grant {}{} on {} to {}{}").format(
        sql.SQL(grant.privilege),  # a word of the catalog
        sql.SQL("").join(sql.SQL(" ({})").format(sql.Identifier(each)) for each in columns),
        view,
        sql.SQL("public") if grant.role is None else sql.Identifier(grant.role),
        sql.SQL(" with grant option" if grant.is_grantable else ""),
    )
