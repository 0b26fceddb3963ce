"""What queries of read tables find, without the daemon's own SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from tests.generators.json_meaning import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "read_models"


class TableSearch:
    """Queries of one database's read tables. A connection for each: servers come and go."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def documents(self, name: str) -> dict[str, tuple[int, Any]]:
        """Version and document by id, of everything that the view of a read model shows."""
        return {hit[1]: hit[2:] for hit in self._hits(name)}

    def hits(self, name: str) -> list[tuple[str, str, int, Any]]:
        """Table, id, version and document of all that is shown; by mistake one twice."""
        return list(self._hits(name))

    def everywhere(self, name: str) -> list[tuple[str, str, int, Any]]:
        """The same of every generation, shown or not."""
        tables = self.rows(
            "select relname from pg_class where relnamespace = to_regnamespace('read_models')"
            f" and relkind = 'r' and relname ~ '^{name}_[0-9]+$'"
        )
        return [hit for (table,) in tables for hit in self._hits(table)]

    def remove(self, names: list[str]) -> None:
        """Drop these read models."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            for name in names:
                view = sql.Identifier(SCHEMA, name)
                connection.execute(sql.SQL("drop view if exists {}").format(view))
            for (table,) in connection.execute(
                "select relname from pg_class where relnamespace = to_regnamespace('read_models')"
                " and relkind = 'r' and regexp_replace(relname, '_[0-9]+$', '') = any (%s)",
                [names],
            ).fetchall():
                connection.execute(sql.SQL("drop table {}").format(sql.Identifier(SCHEMA, table)))

    def _hits(self, relation: str) -> Iterator[tuple[str, str, int, Any]]:
        statement = (
            f'select tableoid::text, _id, _version, _document::text from {SCHEMA}."{relation}"'
            " where _document is not null"
        )
        if relation[-6:].isdigit():
            rows = self.rows(statement)
        else:
            rows = self.rows(statement.replace("tableoid::text", "''"))
        for table, key, version, document in rows:
            yield table, key, version, parse(document)
