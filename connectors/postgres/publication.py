"""The publication: which tables the server publishes, made from the mapping or only verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog
from psycopg import errors, sql

from cdc_daemon.errors import RetryError, SourceError
from connectors.postgres.generated import STREAMED_VERSION
from connectors.postgres.publishedcolumns import lacks_generated, publish_generated
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
# Not by the view: that opens every table of the publication, and one may just be dropped.
_LISTED: Final = """
select array_agg(a.attname::text)
from pg_catalog.pg_publication p
join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
cross join lateral pg_catalog.to_jsonb(r) j
join pg_catalog.pg_attribute a on a.attrelid = r.prrelid
  and j -> 'prattrs' @> pg_catalog.to_jsonb(a.attnum)
where p.pubname = %s and r.prrelid = %s
"""
LOCK_TIMEOUT_SECONDS: Final = 10
"""Adding a table waits behind DDL and VACUUM; other DDL would queue up behind us."""
_ATTEMPTS: Final = 5
"""How often another process may change the publication while we are about to. What is the same
after so many is there already, and doesn't help."""
_EXISTS: Final = (errors.DuplicateObject, errors.UniqueViolation)
_CONCURRENTLY: Final = "tuple concurrently updated"
"""An error without a class of its own."""


OPEN_TRANSACTIONS_FROM: Final = {14: 18, 15: 13, 16: 9, 17: 5}
"""The minor version from which on the stream learns, while it decodes a transaction that was open
meanwhile, that a table has come into the publication. Before, it went on leaving the table out of
all that came later. Major versions that aren't named have always done so."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What a publication lacks."""

    statements: tuple[sql.Composed, ...] = ()
    """What adds it; none where nothing is missing."""
    only_tables: bool = True
    """Whether it has always published all of what it holds."""
    absent: frozenset[str] = frozenset()
    """The tables that it doesn't hold, by their qualified names."""

    def __bool__(self) -> bool:
        return bool(self.statements)

    def may_keep_slot(self, server_version: int) -> bool:
        """Whether a slot that is there lacks nothing but the tables that are added."""
        major, minor = divmod(server_version, 10000)
        return self.only_tables and minor >= OPEN_TRANSACTIONS_FROM.get(major, 0)

    def script(self, connection: Connection, between: str = "; ") -> str:
        """The statements as one text."""
        return between.join(statement.as_string(connection) for statement in self.statements)


class Member(NamedTuple):
    """A table in the publication."""

    columns: frozenset[str] | None
    """The column list; None is all columns."""
    row_filter: str | None


def ensure_publication(
    connection: Connection, name: str, relations: Sequence[Relation], *, manage: bool
) -> None:
    """Make the publication hold `relations`, or (not `manage`) verify that it does.

    Whole tables only: column lists and row filters make the application's own statements fail.
    Tables that no mapping reads stay in it: someone else may have put them there.
    Raises SourceError with the SQL that mends it.
    """
    for _ in range(_ATTEMPTS):
        missing = find_missing(connection, name, relations)
        if not missing:
            return
        if not manage:
            raise SourceError(_unmanaged(connection, name, missing))
        script = missing.script(connection, ";\n  ")
        if _run(connection, name, relations, missing, script):
            log.info("publication_made", publication=name, sql=script)
            return
    _require_none(missing, connection, name)


def require_may_publish(connection: Connection, name: str, relations: Sequence[Relation]) -> None:
    """Try what `ensure_publication` would do, and undo it. Raises SourceError where it can't."""
    missing = find_missing(connection, name, relations)
    if missing:
        script = missing.script(connection, ";\n  ")
        _run(connection, name, relations, missing, script, tried=True)


def _unmanaged(connection: Connection, name: str, missing: Missing) -> str:
    slot = (
        "A slot that this pipeline has may stay: only what reads these tables is loaded"
        if missing.may_keep_slot(connection.info.server_version)
        else "If this pipeline has followed them before, drop its slot too, so that everything "
        "is loaded anew: changes may be missing"
    )
    script = missing.script(connection, ";\n  ")
    return (
        f"publication {name} does not publish what the mapping needs, and publication.manage "
        f"is false. {slot}. Run this as the owner of the tables:\n  {script};"
    )


def _run(
    connection: Connection,
    name: str,
    relations: Sequence[Relation],
    missing: Missing,
    script: str,
    *,
    tried: bool = False,
) -> bool:
    """All of it or nothing (nothing where it is only `tried`), and only if it does what it is for.

    False where another process was faster: a daemon of this pipeline may be starting, too.
    """
    try:
        with (
            mapped_errors("make the publication"),
            connection.transaction(force_rollback=tried),
        ):
            connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
            run: list[sql.Composed] = []
            while fresh := [each for each in missing.statements if each not in run]:
                for statement in fresh:
                    connection.execute(statement)
                run += fresh
                # Whether a partitioned table is in it shows only once changes come via the root.
                missing = find_missing(connection, name, relations)
            _require_none(missing, connection, name)
    except RetryError as error:
        raise RetryError(f"{error} (running: {script})", reason=error.reason) from error
    except SourceError as error:
        if _is_outrun(error.__cause__):
            return False
        if error.__cause__ is None:
            raise
        raise SourceError(
            f"{error}. Run this as the owner of the tables, with the right CREATE on the database, "
            f"and set source.publication.manage to false:\n  {script};"
        ) from error
    return True


def _is_outrun(error: BaseException | None) -> bool:
    """Whether PostgreSQL says so to the later of two: of one name, one member, or one row."""
    return isinstance(error, _EXISTS) or _CONCURRENTLY in str(error)


def _require_none(left: Missing, connection: Connection, name: str) -> None:
    if left:
        raise SourceError(
            f"publication {name} can't publish what the mapping needs, which would take: "
            f"{left.script(connection)}. A table that is a partition comes only as a part of the "
            "partitioned table where the publication holds both: choose another "
            "source.publication.name"
        )


def find_missing(connection: Connection, name: str, relations: Sequence[Relation]) -> Missing:
    """What the publication lacks to be right.

    Raises SourceError when it leaves out rows or columns: someone has decided that.
    """
    quoted = sql.Identifier(name)
    with mapped_errors("read the publication"):
        found = connection.execute(_PUBLICATION, [name]).fetchone()
        lines = connection.execute(_MEMBERS, [name]).fetchall()
    if found is None:
        return Missing((_create(connection, name, relations),), only_tables=False)
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
    leaves_out = lacks_generated(connection, name, relations)
    if leaves_out in {"values", "identities"}:
        statements.append(publish_generated(name))
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
    whole = all_operations and via_root and leaves_out != "values"
    names = frozenset(each.qualified_name for each in absent)
    return Missing(tuple(statements), only_tables=whole, absent=names)


def listed_columns(connection: Connection, name: str, oid: int) -> frozenset[str] | None:
    """Which columns of a table the publication holds; None where it holds all, or no such table."""
    with mapped_errors("read the publication"):
        found = connection.execute(_LISTED, [name, oid]).fetchone()
    return None if found is None or found[0] is None else frozenset(found[0])


def _create(connection: Connection, name: str, relations: Sequence[Relation]) -> sql.Composed:
    options = ["publish_via_partition_root = true"]
    if connection.info.server_version >= STREAMED_VERSION:
        options.append("publish_generated_columns = stored")
    return sql.SQL("create publication {} for table {} with ({})").format(
        sql.Identifier(name), _tables(relations), sql.SQL(", ".join(options))
    )


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
        wanted = [column.name for column in relation.columns if column.generated is None]
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
