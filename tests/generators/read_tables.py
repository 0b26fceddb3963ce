"""What queries of read tables find, without the daemon's own SQL."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from tests.generators.json_meaning import Number, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.generators.searched import Hit

SCHEMA = "read_models"


class TableSearch:
    """Queries of one database's read tables. A connection for each: servers come and go."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a query gives. Raises OSError where the server is away."""
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                return connection.execute(statement.encode()).fetchall()
        except psycopg.OperationalError as error:
            raise ConnectionError(str(error)) from error

    def hits(self, name: str) -> list[Hit]:
        """All that the view of a read model shows."""
        return self._found(name, "'' as _routing, ''")

    def lately(self, names: Sequence[str]) -> list[tuple[str, Hit]]:
        """All that is in their tables, shown or not, but for tombstones."""
        found: list[tuple[str, Hit]] = []
        for table in self._tables(names):
            with suppress(psycopg.errors.UndefinedTable):  # it was dropped since
                name = table.rpartition("_")[0]
                hits = self._found(table, "_routing, tableoid::text")
                found += [(name, hit) for hit in hits]
        return found

    def remove(self, names: Sequence[str]) -> None:
        """Drop these read models."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            for name in names:
                view = sql.Identifier(SCHEMA, name)
                connection.execute(sql.SQL("drop view if exists {}").format(view))
            for table in self._tables(names):
                connection.execute(sql.SQL("drop table {}").format(sql.Identifier(SCHEMA, table)))

    def _tables(self, names: Sequence[str]) -> list[str]:
        like = "|".join(map(re.escape, names))
        return [
            name
            for (name,) in self.rows(
                "select relname::text from pg_class where relkind = 'r'"
                f" and relnamespace = to_regnamespace('{SCHEMA}')"
            )
            if re.fullmatch(f"({like})_[0-9]+", name)
        ]

    def _found(self, relation: str, besides: str) -> list[Hit]:
        statement = (
            f"select _id, _version, _document::text, {besides}"
            f' from {SCHEMA}."{relation}" where _document is not null'
        )
        return [
            {
                "_index": table,
                "_id": key,
                "_version": Number(str(version)),
                "_source": parse(document),
                **({"_routing": routing} if routing else {}),
            }
            for key, version, document, routing, table in self.rows(statement)
        ]
