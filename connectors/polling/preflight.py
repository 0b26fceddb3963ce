"""What would fail, or be missed: said beforehand, with the SQL that mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import SettingError, SourceError
from cdc_daemon.ports import Finding
from connectors.polling.catalog import find_column, fitted, require_known
from connectors.polling.statements import literal, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.polling.config import PollingConfig
    from connectors.polling.session import Session
    from connectors.polling.tables import Table

log = structlog.get_logger(__name__)

_WHERE: Final = """
select split_part(version(), ' on ', 1), current_database()::text, current_user::text
"""
# Of each partition too: a poll asks only for the table, but existing rows are read one by one.
_RIGHTS: Final = """
select (has_schema_privilege(c.relnamespace, 'usage') and (
          has_table_privilege(c.oid, 'select')
          or (select bool_and(has_column_privilege(c.oid, a.attnum, 'select'))
              from pg_catalog.pg_attribute a
              where a.attrelid = c.oid and a.attname in ({columns})))),
       row_security_active(c.oid), quote_ident(current_user)
from pg_catalog.pg_class c where c.oid = to_regclass({table})
"""


def require_readable(session: Session, relations: Sequence[Relation]) -> None:
    """Raise SourceError with every reason why `relations` can't be polled, and what mends it."""
    if reasons := [reason for one in relations for reason in _reasons(session, one)]:
        raise SourceError("\n".join(reasons))


def warn_of_unseen(tables: Sequence[Table]) -> None:
    """Say once what polls don't see."""
    for table in tables:
        for why in _unseen(table):
            log.warning("polls_miss", table=table.name, why=why)


def examine(
    session: Session, config: PollingConfig, relations: Sequence[Relation]
) -> Iterator[Finding]:
    """Look at server, tables and rights, and at how each table is polled; touches nothing."""
    version, database, user = session.line(_WHERE)
    yield Finding("connection", "ok", f"{version}, database {database}, as {user}")
    try:
        require_known(config, relations)
    except SettingError as error:
        for _, why in error.mistakes:
            yield Finding("source.tables", "problem", why)
    for relation in relations:
        reasons = list(_reasons(session, relation))
        try:
            [table] = fitted(session, config, [relation])
        except SettingError as error:
            reasons += [why for _, why in error.mistakes]
        check = f"table {relation.qualified_name}"
        for reason in reasons:
            yield Finding(check, "problem", reason)
        if not reasons:
            yield Finding(check, "ok", table.membership)
            yield from _warnings(session, table, check)


def _reasons(session: Session, relation: Relation) -> Iterator[str]:
    name = f"{quoted(relation.schema)}.{quoted(relation.name)}"
    if relation.kind not in {"table", "partitioned"}:
        yield (
            f"{relation.qualified_name} is a {relation.kind}: its rows can't be told apart. Map "
            "the tables under it"
        )
        return
    if not relation.primary_key:
        yield (
            f"table {relation.qualified_name} has no primary key, by which its rows are told apart "
            f"from one poll to the next. Run: alter table {name} add primary key (...)"
        )
        return
    columns = ", ".join(literal(column.name) for column in relation.columns)
    found = session.lines(_RIGHTS.format(columns=columns, table=literal(name)))
    if not found:
        yield f"table {relation.qualified_name} is gone since it was looked up: start again"
        return
    [(may_read, is_filtered, role)] = found
    if may_read != "t":
        yield (
            f"the role {role} may not read table {relation.qualified_name}. Run: grant usage on "
            f"schema {quoted(relation.schema)} to {role}; grant select on {name} to {role}"
        )
    if is_filtered == "t":
        yield (
            f"table {relation.qualified_name} has row security, which hides rows from {role}: rows "
            f"that it hides would count as deleted. Run: alter role {role} bypassrls"
        )


def _warnings(session: Session, table: Table, check: str) -> Iterator[Finding]:
    for why in _unseen(table):
        yield Finding(check, "warning", why)
    if table.rising is None:
        return
    found = find_column(session, table.relation, table.rising.column)
    if found is not None and not found.indexed:
        name = f"{quoted(table.relation.schema)}.{quoted(table.relation.name)}"
        yield Finding(
            check,
            "warning",
            f"no index begins with column {table.rising.column}, so every poll searches the whole "
            f"table. Run: create index concurrently on {name} ({quoted(table.rising.column)})",
        )


def _unseen(table: Table) -> Iterator[str]:
    """What polls of the table miss, as it is configured."""
    setting = f"source.tables.{table.name}"
    if table.rising is not None:
        unit = table.rising.how.unit.strip()
        yield (
            f"a change is missed for good if it is committed more than {table.rising.overlap:g} "
            f"{unit or 'numbers'} after its {table.rising.column} was set, or if that isn't set: "
            f"raise {setting}.by.overlap for longer transactions, or set {setting}.compare"
            if table.config.compare is None
            else f"a change is found only when all is compared ({setting}.compare), if it is "
            f"committed more than {table.rising.overlap:g} {unit or 'numbers'} after its "
            f"{table.rising.column} was set"
        )
    if not table.config.sees_deletes:
        yield (
            "rows that are deleted aren't noticed, and stay searched; nor is TRUNCATE, nor the old "
            f"key of a row whose key is changed: set {setting}.compare (1d, say) or "
            f"{setting}.deleted, or poll the table by comparison"
        )
