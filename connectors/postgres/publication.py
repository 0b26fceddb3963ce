"""The publication: which tables the server publishes, made from the mapping or only verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog
from psycopg import sql

from cdc_daemon.errors import RetryError, SourceError
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.session import Connection

log = structlog.get_logger(__name__)

_PUBLICATION: Final = """
select puballtables, pubinsert and pubupdate and pubdelete and pubtruncate, pubviaroot
from pg_catalog.pg_publication where pubname = %s
"""
# Column lists and row filters are there from PostgreSQL 15 on; reading them through JSON works
# before, too.
_MEMBERS: Final = """
select p.schemaname, p.tablename, j -> 'attnames', j ->> 'rowfilter'
from pg_catalog.pg_publication_tables p, pg_catalog.to_jsonb(p) j where p.pubname = %s
"""
_LOCK_TIMEOUT: Final = "set local lock_timeout = '10s'"
"""Adding a table waits behind DDL and VACUUM; other DDL would queue up behind us."""


class Member(NamedTuple):
    """A table in the publication."""

    columns: frozenset[str] | None
    """The column list; None is all columns."""
    row_filter: str | None


def ensure_publication(
    connection: Connection, name: str, relations: Sequence[Relation], *, manage: bool
) -> bool:
    """Make the publication hold `relations`, or (not `manage`) verify that it does.

    Returns whether something was missing: changes made until now may not have been published.

    Whole tables only: column lists and row filters make the application's own statements fail.
    Tables that no mapping reads stay in it: someone else may have put them there.
    Raises SourceError with the SQL that mends it.
    """
    statements = missing_statements(connection, name, relations)
    if not statements:
        return False
    script = ";\n  ".join(statement.as_string(connection) for statement in statements)
    if not manage:
        raise SourceError(
            f"publication {name} does not publish what the mapping needs, and publication.manage "
            "is false. If this pipeline has followed them before, drop its slot too, so that "
            "everything is loaded anew: changes may be missing. Run this as the owner of the "
            f"tables:\n  {script};"
        )
    _run(connection, name, relations, statements, script)
    log.info("publication_made", publication=name, sql=script)
    return True


def _run(
    connection: Connection,
    name: str,
    relations: Sequence[Relation],
    statements: Sequence[sql.Composed],
    script: str,
) -> None:
    """All of it or nothing, and only if it does what it is for."""
    try:
        with mapped_errors("make the publication"), connection.transaction():
            connection.execute(_LOCK_TIMEOUT)
            run: list[sql.Composed] = []
            left = list(statements)
            while fresh := [statement for statement in left if statement not in run]:
                for statement in fresh:
                    connection.execute(statement)
                run += fresh
                # Whether a partitioned table is in it shows only once changes come via the root.
                left = missing_statements(connection, name, relations)
            _require_none(left, connection, name)
    except RetryError as error:
        raise RetryError(f"{error} (running: {script})", reason=error.reason) from error
    except SourceError as error:
        if error.__cause__ is None:
            raise
        raise SourceError(
            f"{error}. Run this as the owner of the tables, with the right CREATE on the database, "
            f"and set source.publication.manage to false:\n  {script};"
        ) from error


def _require_none(left: Sequence[sql.Composed], connection: Connection, name: str) -> None:
    if left:
        needed = "; ".join(each.as_string(connection) for each in left)
        raise SourceError(
            f"publication {name} can't publish what the mapping needs, which would take: {needed}. "
            "A table that is a partition comes only as a part of the partitioned table where the "
            "publication holds both: choose another source.publication.name"
        )


def missing_statements(
    connection: Connection, name: str, relations: Sequence[Relation]
) -> list[sql.Composed]:
    """The statements that make the publication right; none when it is.

    Raises SourceError when it leaves out rows or columns: someone has decided that.
    """
    quoted = sql.Identifier(name)
    with mapped_errors("read the publication"):
        found = connection.execute(_PUBLICATION, [name]).fetchone()
        lines = connection.execute(_MEMBERS, [name]).fetchall()
    if found is None:
        return [
            sql.SQL(
                "create publication {} for table {} with (publish_via_partition_root = true)"
            ).format(quoted, _tables(relations))
        ]
    all_tables, all_operations, via_root = found
    members = {(schema, table): _member(*rest) for schema, table, *rest in lines}
    if reasons := list(_left_out(connection, name, relations, members)):
        raise SourceError("\n".join(reasons))
    statements = []
    if not all_operations or not via_root:
        statements.append(
            sql.SQL(
                "alter publication {} set (publish = 'insert, update, delete, truncate', "
                "publish_via_partition_root = true)"
            ).format(quoted)
        )
    absent = [each for each in relations if (each.schema, each.name) not in members]
    if all_tables and via_root and absent:
        raise SourceError(
            f"publication {name} is for all tables, but not for {_names(absent)}: a partition "
            "comes only as a part of its partitioned table. Map that one, or choose another "
            "source.publication.name"
        )
    if not via_root:  # the view lists partitions in place of their table until then
        absent = [each for each in absent if each.kind != "partitioned" and not all_tables]
    if absent:
        statements.append(
            sql.SQL("alter publication {} add table {}").format(quoted, _tables(absent))
        )
    return statements


def _member(columns: list[str] | None, row_filter: str | None) -> Member:
    return Member(None if columns is None else frozenset(columns), row_filter)


def _left_out(
    connection: Connection,
    name: str,
    relations: Sequence[Relation],
    members: Mapping[tuple[str, str], Member],
) -> Iterator[str]:
    """Why documents would be missing or incomplete, table by table."""
    for relation in relations:
        member = members.get((relation.schema, relation.name))
        if member is None:
            continue
        wanted = [column.name for column in relation.columns if not column.generated]
        hidden = [] if member.columns is None else sorted(set(wanted) - member.columns)
        if hidden or member.row_filter is not None:
            what = f"only rows where {member.row_filter}" if member.row_filter else "only columns"
            what = f"not the mapped columns {', '.join(hidden)}" if hidden else what
            quoted: dict[str, Any] = {"name": sql.Identifier(name), "table": _table(relation)}
            statement = sql.SQL(
                "alter publication {name} drop table {table}; "
                "alter publication {name} add table {table}"
            ).format(**quoted)
            yield (
                f"publication {name} publishes of table {relation.qualified_name} {what}: "
                "documents would be wrong. Choose another publication.name, or run as the owner: "
                f"{statement.as_string(connection)}"
            )


def _names(relations: Sequence[Relation]) -> str:
    return ", ".join(relation.qualified_name for relation in relations)


def _tables(relations: Sequence[Relation]) -> sql.Composed:
    return sql.SQL(", ").join(_table(relation) for relation in relations)


def _table(relation: Relation) -> sql.Composable:
    name = sql.Identifier(relation.schema, relation.name)
    return name if relation.kind == "partitioned" else sql.SQL("only {}").format(name)
