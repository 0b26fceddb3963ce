"""Looks documents up by id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import errors, sql

from connectors.postgres.readtables.columns import DOCUMENT, ID, ROUTING, VERSION
from connectors.postgres.readtables.relations import find

if TYPE_CHECKING:
    from connectors.postgres.readtables.server import Server

_GET: Final = """
select {version}, {document}::text from {table}
where {id} = %s and {routing} = coalesce(%s, {routing}) and {document} is not null
order by {version} desc limit 1
"""


class ReadTableDocuments:
    """The document reader. Any thread may use it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def get(
        self, index: str, document_id: str, routing: str | None = None
    ) -> tuple[int, bytes] | None:
        """Version and document; None if there is none. `index` may be a read model's view.

        Without `routing` any document of that id is meant.
        """
        schema = self._server.schema
        with self._server.session("read a document") as connection:
            found = find(connection, schema, index)
            if found is None:
                return None
            name = str(found.says.get("index", index))
            try:
                row = connection.execute(
                    _statement(schema, name), [document_id, routing]
                ).fetchone()
            except errors.UndefinedTable:
                return None
        return None if row is None else (int(row[0]), str(row[1]).encode())


def _statement(schema: str, table: str) -> sql.Composed:
    return sql.SQL(_GET).format(
        table=sql.Identifier(schema, table),
        id=sql.Identifier(ID),
        routing=sql.Identifier(ROUTING),
        version=sql.Identifier(VERSION),
        document=sql.Identifier(DOCUMENT),
    )
