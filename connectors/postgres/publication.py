"""The publication: which tables the server publishes, made from the mapping or only verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from cdc_daemon.errors import SourceError
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.session import Connection

_PUBLICATION: Final = """
select puballtables, pubinsert and pubupdate and pubdelete and pubtruncate, pubviaroot
from pg_catalog.pg_publication where pubname = %s
"""
_MEMBERS: Final = """
select schemaname || '.' || tablename from pg_catalog.pg_publication_tables where pubname = %s
"""


def ensure_publication(
    connection: Connection, name: str, relations: Sequence[Relation], *, manage: bool
) -> None:
    """Make the publication hold `relations`, or (not `manage`) verify that it does.

    Whole tables only: column lists and row filters make the application's own statements fail.
    Raises SourceError with the SQL that mends it.
    """
    statements = missing_statements(connection, name, relations)
    if not statements:
        return
    script = ";\n  ".join(statement.as_string(connection) for statement in statements)
    if not manage:
        raise SourceError(
            f"publication {name} does not publish what the mapping needs, and publication.manage "
            f"is false. Run this as the owner of the tables:\n  {script};"
        )
    try:
        with mapped_errors("create the publication"), connection.transaction():
            for statement in statements:
                connection.execute(statement)
    except SourceError as error:
        raise SourceError(
            f"{error}. Run this as the owner of the tables, and set publication.manage to false:"
            f"\n  {script};"
        ) from error


def missing_statements(
    connection: Connection, name: str, relations: Sequence[Relation]
) -> list[sql.Composed]:
    """The statements that make the publication right; none when it is."""
    quoted = sql.Identifier(name)
    tables = [_table(relation) for relation in relations]
    with mapped_errors("read the publication"):
        found = connection.execute(_PUBLICATION, [name]).fetchone()
        if found is None:
            return [
                sql.SQL(
                    "create publication {} for table {} with (publish_via_partition_root = true)"
                ).format(quoted, sql.SQL(", ").join(tables))
            ]
        members = {line[0] for line in connection.execute(_MEMBERS, [name]).fetchall()}
    all_tables, all_operations, via_root = found
    statements = []
    if not all_operations or not via_root:
        statements.append(
            sql.SQL(
                "alter publication {} set (publish = 'insert, update, delete, truncate', "
                "publish_via_partition_root = true)"
            ).format(quoted)
        )
    absent = [relation for relation in relations if relation.qualified_name not in members]
    if absent and not all_tables:
        statements.append(
            sql.SQL("alter publication {} add table {}").format(
                quoted, sql.SQL(", ").join(_table(relation) for relation in absent)
            )
        )
    return statements


def _table(relation: Relation) -> sql.Composable:
    name = sql.Identifier(relation.schema, relation.name)
    return name if relation.kind == "partitioned" else sql.SQL("only {}").format(name)
