"""What the catalog says of the tables that are polled: whether it can be done as configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import SettingError
from cdc_daemon.nearest import nearest
from connectors.polling.choosing import COMPARABLE, Rising
from connectors.polling.config import OVERLAP_SECONDS, WatermarkConfig
from connectors.polling.statements import literal, quoted
from connectors.polling.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.polling.config import PollingConfig
    from connectors.polling.session import Session

_COLUMN: Final = """
select pg_catalog.format_type(case when t.typtype = 'd' then t.typbasetype else t.oid end, null),
       a.attnotnull or t.typnotnull,
       exists (select from pg_catalog.pg_index i
               where i.indrelid = a.attrelid and i.indkey[0] = a.attnum and i.indisvalid
                 and i.indpred is null)
from pg_catalog.pg_attribute a
join pg_catalog.pg_type t on t.oid = a.atttypid
where a.attrelid = to_regclass({table}) and a.attname = {column} and not a.attisdropped
"""

Mistakes = list[tuple[tuple[str | int, ...], str]]


class Watermarks(NamedTuple):
    """The column by which a table is polled, in the catalog."""

    type: str
    """Under its domain, as the server calls it."""
    not_null: bool
    indexed: bool


def fitted(session: Session, config: PollingConfig, relations: Sequence[Relation]) -> list[Table]:
    """How each of `relations` is polled. Raises SettingError with every reason why it can't be."""
    mistakes: Mistakes = []
    tables = [_fitted(session, config, relation, mistakes) for relation in relations]
    if mistakes:
        raise SettingError(mistakes)
    return tables


def require_known(config: PollingConfig, relations: Sequence[Relation]) -> None:
    """Raise SettingError where the configuration names a table that no mapping reads."""
    known = {relation.qualified_name for relation in relations}
    names = known | {name.removeprefix("public.") for name in known}
    mistakes: Mistakes = [
        (("tables", name), f"no mapping reads a table {name}{_meant(name, known)}")
        for name in config.tables
        if name not in names
    ]
    if mistakes:
        raise SettingError(mistakes)


def _fitted(
    session: Session, config: PollingConfig, relation: Relation, mistakes: Mistakes
) -> Table:
    table = config.of_table(relation.qualified_name)
    if not isinstance(table.by, WatermarkConfig):
        return Table(relation, table)
    path = ("tables", config.name_of(relation.qualified_name), "by")
    found = find_column(session, relation, table.by.column)
    if found is None:
        meant = _meant(table.by.column, relation.known)
        why = f"table {relation.qualified_name} has no column {table.by.column}{meant}"
        mistakes.append(((*path, "column"), why))
        return Table(relation, table)
    mistakes.extend((path, why) for why in _reasons(relation, table.by, found))
    how = COMPARABLE.get(found.type, COMPARABLE["bigint"])
    overlap = OVERLAP_SECONDS if table.by.overlap is None else table.by.overlap
    return Table(relation, table, Rising(table.by.column, how, overlap))


def find_column(session: Session, relation: Relation, column: str) -> Watermarks | None:
    """A column of the table; None if it has none of that name."""
    name = f"{quoted(relation.schema)}.{quoted(relation.name)}"
    found = session.lines(_COLUMN.format(table=literal(name), column=literal(column)))
    if not found:
        return None
    [(type_, not_null, indexed)] = found
    return Watermarks(type_ or "", not_null == "t", indexed == "t")


def _reasons(relation: Relation, by: WatermarkConfig, found: Watermarks) -> Iterator[str]:
    """Why rows can't be chosen by the column."""
    if found.type not in COMPARABLE:
        yield (
            f"column {by.column} of table {relation.qualified_name} is a {found.type}, and can't "
            f"say what is new: expected one of {', '.join(COMPARABLE)}. Poll the table by xmin or "
            "by comparison"
        )
        return
    if not found.not_null:
        yield (
            f"column {by.column} of table {relation.qualified_name} may be NULL, and a row in "
            "which it is would never be read. Run: alter table "
            f"{quoted(relation.schema)}.{quoted(relation.name)} alter column {quoted(by.column)} "
            "set not null; or poll the table by xmin or by comparison"
        )
    if by.overlap is None and not COMPARABLE[found.type].unit:
        yield (
            f"column {by.column} of table {relation.qualified_name} is a number: say in `overlap` "
            "how far below its highest value a transaction may still commit, such as 1000"
        )


def _meant(name: str, names: Sequence[str] | set[str] | frozenset[str]) -> str:
    close = nearest(name, names)
    return f"; did you mean {close}?" if close else ""
