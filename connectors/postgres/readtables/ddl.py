"""The SQL that makes a table of a generation, and the view that is searched. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from psycopg import sql

from connectors.postgres.readtables.columns import (
    DELETED_AT,
    DOCUMENT,
    ID,
    ROUTING,
    VERSION,
    Column,
    columns_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cdc_daemon.ports import ReadModel

_AS_IT_IS: Final = re.compile(r"\s*(\(|using\b)", re.IGNORECASE)
"""An index that says more than its columns."""


def table_statements(table: sql.Identifier, model: ReadModel) -> Iterator[sql.Composed]:
    """Make the table of a generation, empty, with its indexes."""
    columns = [_declared(column) for column in columns_of(model)]
    yield sql.SQL(
        "create table {table} ({id} text collate {c} not null, {routing} text collate {c} not null,"
        " {version} bigint not null, {deleted} timestamptz, {document} jsonb, {columns}"
        "primary key ({id}, {routing}))"
    ).format(
        table=table,
        c=sql.Identifier("C"),
        columns=sql.SQL("").join(sql.SQL("{}, ").format(each) for each in columns),
        **_own(),
    )
    yield sql.SQL("create index on {table} ({deleted}) where {deleted} is not null").format(
        table=table, deleted=sql.Identifier(DELETED_AT)
    )
    yield from (index_statement(table, index) for index in model.indexes)


def index_statement(table: sql.Identifier, index: str) -> sql.Composed:
    """Make an index, of which the configuration says the columns, or all after the table."""
    said = index if _AS_IT_IS.match(index) else f"({index})"
    # It is the configuration's own SQL, run with the rights of the role that it names.
    return sql.SQL("create index on {} {}").format(table, sql.SQL(said))


def add_columns(table: sql.Identifier, columns: Iterable[Column]) -> sql.Composed:
    """Let the table have these, too."""
    added = [sql.SQL("add column {}").format(_declared(column)) for column in columns]
    return sql.SQL("alter table {} {}").format(table, sql.SQL(", ").join(added))


def view_statement(
    view: sql.Identifier, table: sql.Identifier, columns: Iterable[Column]
) -> sql.Composed:
    """Let the view show the documents of that table, and no tombstones."""
    shown = [ID, VERSION, DOCUMENT, *(column.name for column in columns)]
    return sql.SQL("create or replace view {} as select {} from {} where {} is null").format(
        view,
        sql.SQL(", ").join(map(sql.Identifier, shown)),
        table,
        sql.Identifier(DELETED_AT),
    )


def _declared(column: Column) -> sql.Composed:
    # A type is one of ours (columns.py), or what the server itself calls it.
    return sql.SQL("{} {}").format(
        sql.Identifier(column.name),
        sql.SQL(column.type),
    )


def _own() -> dict[str, sql.Identifier]:
    return {
        "id": sql.Identifier(ID),
        "routing": sql.Identifier(ROUTING),
        "version": sql.Identifier(VERSION),
        "deleted": sql.Identifier(DELETED_AT),
        "document": sql.Identifier(DOCUMENT),
    }
